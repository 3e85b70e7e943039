"""The verdict in bokeh: a stacked bar for each way to run the step, lines at the memory of GPUs."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from functools import partial

from bokeh.models import FactorRange, Span, Text
from bokeh.plotting import figure

from roam_lab.report.figures.parts import empty, filled, hover, key_of_looks, layout, lively, still
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Theme, ink_of, plain
from roam_lab.report.units import bytes_text, exact_text
from roam_lab.report.views.look import PEAK
from roam_lab.report.views.verdict import VerdictView

BAR_HEIGHT = 42
"""Height of a bar in pixels, with the gap below it."""


def verdict_figure(view: VerdictView, *, theme: Theme = "auto") -> figure:
    """The bars of `view`, each with its size at its end; a tooltip names each part."""
    ink, stage = ink_of(theme), Stage()
    unit_name, unit = view.unit
    names = [plain(bar.name) for bar in view.bars]
    drawn = empty(
        stage,
        "verdict",
        view,
        ink,
        len(view.bars) * BAR_HEIGHT + 130,
        "save",
        x_axis_label=f"whole step, {unit_name} (predicted)",
        x_range=stage.range("roam-verdict.x", 0, 1.15 * view.end_bytes / unit),
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
    source = stage.source("roam-verdict.data", columns, "roam-verdict-data")
    thick = {"height": 0.7, "source": source, **filled(ink, "fill", "hatch"), "fill_alpha": 0.9}
    bars = lively(stage, drawn, "bars", lambda: drawn.hbar(y="bar", left="left", right="right", **thick))
    words = {"x_offset": 6, "text_color": ink.text, "text_baseline": "middle"}
    still(stage, drawn, "ends", lambda: Text(x="x", y="y", text="text", **words), ends)
    for number, line in enumerate(view.lines):
        across = {"dimension": "height", "line_color": ink.of(PEAK), "line_dash": [5, 4]}
        layout(stage, drawn, f"line.{number}", partial(Span, **across), location=line.room_bytes / unit)
    tops = {"x": [line.room_bytes / unit for line in view.lines], "text": [line.name for line in view.lines]}
    tops["y"] = [names[0]] * len(view.lines)
    above = {"x_offset": 3, "y_offset": -15, "text_color": ink.text, "text_font_size": "11px"}
    still(stage, drawn, "names", lambda: Text(x="x", y="y", text="text", **above), tops)
    key_of_looks(stage, drawn, ink, view.looks)
    rows = [("", "@bar"), ("", "@part"), ("bytes", "@size"), ("", "@basis")]
    hover(stage, drawn, "hover", [bars], rows)
    return drawn
