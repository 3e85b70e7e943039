"""What all bokeh figures share: colours for light and dark pages, an empty figure with alt text, plain strings.

Figures have a transparent background, to suit any page. In theme "auto" axes and text have a grey that is legible on
white and on near-black; "light" and "dark" have more contrast.
"""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, HoverTool, LabelSet, Legend, LegendItem, Quad, TapTool, Title
from bokeh.plotting import figure

from roam_lab.errors import InputError
from roam_lab.report.safe_text import printable
from roam_lab.report.views.labels import ASIDE, Label
from roam_lab.report.views.look import Look
from roam_lab.report.views.table import View

Theme = Literal["auto", "light", "dark"]
WIDTH = 860
"""In pixels. Figures take the width that they are given, but at least LEAST_WIDTH."""
LEAST_WIDTH = 320
HATCH_ALPHA = 0.45
HATCH_SCALE = 9
BEHIND_ALPHA = 0.8
"""Opacity of the background of a label, behind which curves and areas are faint."""


@dataclass(frozen=True, slots=True)
class Ink:
    """Colours of text, axes and grid, and of the background of text on a filled area (`paper`)."""

    theme: Theme
    text: str
    axis: str
    grid: str
    grid_alpha: float
    paper: str

    def of(self, look: Look) -> str:
        """The look's colour in this theme."""
        return look.colour(self.theme)


# No grey has the contrast of 4.5 that small text should have (WCAG 2.2, 1.4.3) both on white and on the #111111 of
# JupyterLab's dark theme. This one maximizes the lower of the two: 4.3. Text on a canvas cannot follow the page's CSS.
INKS = {
    "auto": Ink("auto", "#797979", "#8a8a8a", "#8a8a8a", 0.25, "#fefefe"),
    "light": Ink("light", "#222222", "#555555", "#555555", 0.18, "#ffffff"),
    "dark": Ink("dark", "#eeeeee", "#aaaaaa", "#aaaaaa", 0.22, "#111111"),
}


def ink_of(theme: str) -> Ink:
    """The ink of `theme`. Raises InputError for another name than auto, light or dark."""
    if theme not in INKS:
        raise InputError(f"no theme is named {theme!r}; choose one of {', '.join(INKS)}")
    return INKS[theme]


def plain(text: str) -> str:
    """`text` so that bokeh shows it literally. Names come from files, and bokeh would typeset what looks like a
    formula, with a library from the network."""
    text = printable(text)
    for sign in ("$$", "\\[", "\\]", "\\(", "\\)"):
        text = text.replace(sign, f"{sign[0]}\u2060{sign[1]}")
    return text


def empty(key: str, view: View, ink: Ink, height: int, tools: str, **more: Any) -> figure:
    """A figure without glyphs: transparent, titled, named "roam-KEY", with the view's alt text."""
    drawn = figure(
        name=f"roam-{key}",
        title=Title(text=plain(view.title), text_color=ink.text, text_font_size="14px"),
        height=height,
        width=WIDTH,
        min_width=LEAST_WIDTH,
        sizing_mode="stretch_width",
        tools=tools,
        output_backend="canvas",
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_alpha=0,
        **more,
    )
    label_for_all(drawn, view.alt)
    drawn.toolbar.logo = None
    drawn.toolbar.autohide = True
    for line in (drawn.xaxis, drawn.yaxis):
        line.axis_label_text_color = line.major_label_text_color = ink.text
        line.axis_label_text_font_style = "normal"
        line.axis_line_color = line.major_tick_line_color = ink.axis
        line.minor_tick_line_color = None
    drawn.grid.grid_line_color = ink.grid
    drawn.grid.grid_line_alpha = ink.grid_alpha
    return drawn


def label_for_all(model: Any, alt: str) -> None:
    """Set the alt text, which screen readers read out as the label of one picture."""
    model.html_attributes = {"role": "img", "aria-label": plain(alt)}


def alt_text(model: Any) -> str:
    """The alt text of a figure made here; "" for any other model."""
    return str(model.html_attributes.get("aria-label", ""))


def legend(
    drawn: figure,
    ink: Ink,
    items: Sequence[tuple[str, Sequence[Any]]],
    columns: int,
    hides: bool = True,
    unseen: Collection[str] = (),
    rows: bool = False,
) -> None:
    """A legend above the plot in `columns` columns; a click on an item hides what it names. `unseen`: names of items
    that a page does not show; `rows`: the renderers have a row for each item, which looks like that row."""
    if not items:
        return
    entries = [
        LegendItem(
            label=value(plain(text)),
            renderers=list(renderers),
            visible=text not in unseen,
            index=place if rows else None,
        )
        for place, (text, renderers) in enumerate(items)
    ]
    drawn.add_layout(
        Legend(
            items=entries,
            ncols=columns,
            click_policy="hide" if hides else "none",
            background_fill_alpha=0,
            border_line_alpha=0,
            label_text_color=ink.text,
            label_text_font_size="11px",
            inactive_fill_alpha=0.3,
            inactive_fill_color=ink.grid,
            spacing=8,
            glyph_height=15,
            label_height=12,
            padding=2,
            margin=2,
            location="top_left",
        ),
        "above",
    )


def key_of_looks(
    drawn: figure,
    ink: Ink,
    looks: Mapping[str, Look],
    columns: int = 6,
    hatched: bool = True,
    unseen: Collection[str] = (),
) -> None:
    """A legend of fills and, where the figure is `hatched`, of hatches, made from patches outside the plot. `unseen`:
    looks that a page does not name."""
    # one renderer with a row for each look: a renderer for each was a quarter of all models
    every = list(looks.values())
    edges = {edge: edge for edge in ("left", "right", "bottom", "top")}
    patches: dict[str, list[Any]] = {edge: [0] * len(every) for edge in edges}
    patches |= {"fill": [ink.of(look) for look in every], "hatch": [look.hatch if hatched else " " for look in every]}
    source = ColumnDataSource(data=patches, name="roam-key")
    patch = still(drawn, Quad(**edges, **filled(ink, "fill", "hatch")), source)
    legend(drawn, ink, [(name, [patch]) for name in looks], columns, hides=False, unseen=unseen, rows=True)


def filled(ink: Ink, colour: str, hatch: str) -> dict[str, Any]:
    """Fill, outline and hatch of an area; `colour` and `hatch` may name columns."""
    return {
        "fill_color": colour,
        "line_color": colour,
        "hatch_pattern": hatch,
        "hatch_color": ink.text,
        "hatch_alpha": HATCH_ALPHA,
        "hatch_scale": HATCH_SCALE,
    }


def hatch_over(
    drawn: figure, ink: Ink, looks: Mapping[str, Look], names: Sequence[str], edges: Mapping[str, Sequence[Any]]
) -> None:
    """Hatch rectangles, with one renderer for each look: where patterns differ within a renderer, bokeh makes one for
    every rectangle, which took seconds for thousands. `edges`: left, right, bottom and top of each of `names`."""
    for name, look in looks.items():
        rows = [row for row, one in enumerate(names) if one == name]
        if look.hatch != " ":
            hatched = Quad(**filled(ink, look.light, look.hatch), fill_alpha=0, line_alpha=0)
            still(drawn, hatched, {edge: [values[row] for row in rows] for edge, values in edges.items()})


def rectangles(drawn: figure, source: ColumnDataSource, fill: str = "fill", **look: Any) -> Any:
    """The renderer of a rectangle for each row of `source`, whose edges are its columns left, right, bottom and top.
    `fill`: a column of colours, or one colour; `look`: other properties of bokeh's Quad."""
    return drawn.quad(left="left", right="right", bottom="bottom", top="top", source=source, fill_color=fill, **look)


def still(drawn: figure, glyph: Any, data: Mapping[str, Any] | ColumnDataSource) -> Any:
    """Draw `glyph` the same whether selected, muted or hovered: bokeh's own methods make four glyphs for that, which is
    most of a figure's cost."""
    source = data if isinstance(data, ColumnDataSource) else ColumnDataSource(data=dict(data))
    return drawn.add_glyph(source, glyph, selection_glyph=None, nonselection_glyph=None, muted_glyph=None)


def beside(
    drawn: figure, ink: Ink, labels: Sequence[Label], edges: tuple[float, float, float], size: str
) -> ColumnDataSource:
    """Labels beside points, where their view placed them, in font size `size`. `edges`: where the x axis ends, from 0,
    and where the y axis begins and ends."""
    source = ColumnDataSource(data=label_columns(labels, edges), name="roam-labels")
    names = LabelSet(x="x", y="y", text="text", text_align="align", x_offset="aside", source=source)
    names.text_color, names.text_font_size = ink.text, size
    names.background_fill_color, names.background_fill_alpha = ink.paper, BEHIND_ALPHA
    drawn.add_layout(names)
    return source


def label_columns(labels: Sequence[Label], edges: tuple[float, float, float]) -> dict[str, list[Any]]:
    """The columns that `beside` draws for `labels`."""
    x_end, low, high = edges
    return {
        "x": [label.x * x_end for label in labels],
        "y": [low + label.y * (high - low) for label in labels],
        "text": [plain(label.text) for label in labels],
        "align": ["right" if label.before else "left" for label in labels],
        "aside": [-ASIDE if label.before else ASIDE for label in labels],
    }


def source_of(drawn: figure, name: str) -> ColumnDataSource:
    """The source of that name that `drawn` shows or carries; bokeh's own search walks through all linked figures.

    Raises KeyError where there is none.
    """
    for one in (*(renderer.data_source for renderer in drawn.renderers), *drawn.tags):
        if isinstance(one, ColumnDataSource) and one.name == name:
            return one
    raise KeyError(name)


def tap_only(drawn: figure, renderer: Any) -> None:
    """Clicks select in `renderer` alone, through whatever lies above it."""
    for tool in drawn.toolbar.tools:
        if isinstance(tool, TapTool):
            tool.renderers = [renderer]


def hover(drawn: figure, renderers: Sequence[Any], rows: Sequence[tuple[str, str]], **more: Any) -> HoverTool:
    """A tooltip of `rows` (label, field) over `renderers`; bokeh escapes the values of the fields."""
    # bokeh's own labels have a blue that is hard to read on white (2.6 to 1)
    tooltips = [("", f"{label}: {field}" if label else field) for label, field in rows]
    tool = HoverTool(renderers=list(renderers), tooltips=tooltips, **more)
    drawn.add_tools(tool)
    return tool
