"""The verdict in bokeh: a stacked bar for each way to run the step, lines at the memory of GPUs."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from bokeh.models import ColumnDataSource, FactorRange, Range1d, Span, Text
from bokeh.plotting import figure

from roam_lab.report.figures.theme import Theme, empty, filled, hover, ink_of, key_of_looks, plain, still
from roam_lab.report.units import bytes_text, exact_text
from roam_lab.report.views.look import PEAK
from roam_lab.report.views.verdict import VerdictView

BAR_HEIGHT = 42
"""Height of a bar in pixels, with the gap below it."""


def verdict_figure(view: VerdictView, *, theme: Theme = "auto") -> figure:
    """The bars of `view`, each with its size at its end; a tooltip names each part."""
    ink = ink_of(theme)
    unit_name, unit = view.unit
    names = [plain(bar.name) for bar in view.bars]
    drawn = empty(
        "verdict",
        view,
        ink,
        len(view.bars) * BAR_HEIGHT + 130,
        "save",
        x_axis_label=f"whole step, {unit_name} (predicted)",
        x_range=Range1d(0, 1.15 * view.end_bytes / unit),
        y_range=FactorRange(*reversed(names)),
    )
    drawn.ygrid.visible = False
    columns: dict[str, list[object]] = {
        name: [] for name in ("bar", "part", "left", "right", "bytes", "size", "basis", "fill", "hatch")
    }
    ends: dict[str, list[object]] = {"x": [], "y": [], "text": []}
    for bar, name in zip(view.bars, names, strict=True):
        at = 0
        for part in bar.parts:
            look = view.looks[part.name]
            size = f"{bytes_text(part.bytes)} ({exact_text(part.bytes)})"
            place = (at / unit, (at + part.bytes) / unit)
            values = (name, plain(part.name), *place, part.bytes, size, bar.basis, ink.of(look), look.hatch)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
            at += part.bytes
        ends["x"].append(at / unit)
        ends["y"].append(name)
        ends["text"].append(bar.end_text)
    source = ColumnDataSource(data=columns, name="roam-verdict-data")
    bars = drawn.hbar(
        y="bar", left="left", right="right", height=0.7, source=source, **filled(ink, "fill", "hatch"), fill_alpha=0.9
    )
    words = Text(x="x", y="y", text="text", x_offset=6, text_color=ink.text, text_baseline="middle")
    still(drawn, words, ends)
    for line in view.lines:
        drawn.add_layout(
            Span(location=line.room_bytes / unit, dimension="height", line_color=ink.of(PEAK), line_dash=[5, 4])
        )
    tops = {"x": [line.room_bytes / unit for line in view.lines], "text": [line.name for line in view.lines]}
    tops["y"] = [names[0]] * len(view.lines)
    label = Text(x="x", y="y", text="text", x_offset=3, y_offset=-15, text_color=ink.text, text_font_size="11px")
    still(drawn, label, tops)
    key_of_looks(drawn, ink, view.looks)
    hover(drawn, [bars], [("", "@bar"), ("", "@part"), ("bytes", "@size"), ("", "@basis")])
    return drawn
