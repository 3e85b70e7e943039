"""Parts of bokeh figures: an empty figure with alt text, legends, hatches, labels, tooltips, on a stage."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, GlyphRenderer, HoverTool, LabelSet, Legend, LegendItem, Quad, TapTool, Title
from bokeh.plotting import figure

from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Ink, plain
from roam_lab.report.views.labels import ASIDE, Label
from roam_lab.report.views.look import Look
from roam_lab.report.views.table import View

WIDTH = 860
"""In pixels. Figures take the width that they are given, but at least LEAST_WIDTH."""
LEAST_WIDTH = 320
HATCH_ALPHA = 0.45
HATCH_SCALE = 9
BEHIND_ALPHA = 0.8
"""Opacity of the background of a label, behind which curves and areas are faint."""
EDGES = ("left", "right", "bottom", "top")


def empty(stage: Stage, key: str, view: View, ink: Ink, height: int, tools: str, **more: Any) -> figure:
    """A figure without glyphs: transparent, titled, named "roam-KEY", with the view's alt text. `more`: of bokeh's
    figure; its labels and height may differ from plan to plan."""
    title = stage.once(f"roam-{key}.title", lambda: Title(text_color=ink.text, text_font_size="14px"))
    drawn = stage.once(f"roam-{key}", lambda: _made(key, ink, height, tools, title=title, **more))
    stage.set(title, text=plain(view.title))
    # one picture for screen readers, which read out its label
    stage.set(drawn, height=height, html_attributes={"role": "img", "aria-label": plain(view.alt)})
    for axis, label in ((drawn.xaxis, more.get("x_axis_label")), (drawn.yaxis, more.get("y_axis_label"))):
        for one in axis:
            stage.set(one, axis_label=label)
    return drawn


def _made(key: str, ink: Ink, height: int, tools: str, **more: Any) -> figure:
    drawn = figure(
        name=f"roam-{key}",
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


def still(
    stage: Stage,
    drawn: figure,
    key: str,
    glyph: Callable[[], Any],
    data: Mapping[str, Any] | ColumnDataSource,
    **more: Any,
) -> GlyphRenderer:
    """Draw a glyph the same whether selected, muted or hovered: bokeh's own methods make four glyphs for that, which is
    most of a figure's cost. `more`: of its renderer."""
    key = f"{drawn.name}.{key}"
    source = data if isinstance(data, ColumnDataSource) else stage.source(f"{key}.data", dict(data))
    bare = {"selection_glyph": None, "nonselection_glyph": None, "muted_glyph": None}
    made = stage.once(key, lambda: GlyphRenderer(data_source=source, glyph=glyph(), **bare, **more))
    return stage.add(drawn, "renderers", made)


def lively(stage: Stage, drawn: figure, key: str, draw: Callable[[], GlyphRenderer]) -> GlyphRenderer:
    """What a method of bokeh's figure draws, with other looks where it is selected."""
    return stage.add(drawn, "renderers", stage.once(f"{drawn.name}.{key}", draw))


def rectangles(
    stage: Stage, drawn: figure, key: str, source: ColumnDataSource, fill: str = "fill", **look: Any
) -> GlyphRenderer:
    """The renderer of a rectangle for each row of `source`, whose edges are its columns left, right, bottom and top.
    `fill`: a column of colours, or one colour; `look`: other properties of bokeh's Quad."""
    edges = {edge: edge for edge in EDGES}
    return lively(stage, drawn, key, lambda: drawn.quad(**edges, source=source, fill_color=fill, **look))


def layout(stage: Stage, drawn: figure, key: str, make: Callable[[], Any], place: str = "center", **values: Any) -> Any:
    """An annotation of `drawn`, with these values."""
    return stage.add(drawn, place, stage.set(stage.once(f"{drawn.name}.{key}", make), **values))


def legend(
    stage: Stage,
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
    made = layout(
        stage,
        drawn,
        "legend",
        lambda: Legend(
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
    for place, (text, renderers) in enumerate(items):
        said = {"label": value(plain(text)), "renderers": list(renderers), "visible": text not in unseen}
        said["index"] = place if rows else None
        item = stage.once(f"{drawn.name}.legend.{place}", partial(LegendItem, **said))
        stage.add(made, "items", stage.set(item, **said))
        for one in renderers:
            stage.set(one, visible=True)


def key_of_looks(
    stage: Stage,
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
    patches: dict[str, list[Any]] = {edge: [0] * len(every) for edge in EDGES}
    patches |= {"fill": [ink.of(look) for look in every], "hatch": [look.hatch if hatched else " " for look in every]}
    source = stage.source(f"{drawn.name}.key", patches, "roam-key")
    edges = {edge: edge for edge in EDGES}
    patch = still(stage, drawn, "key.patch", lambda: Quad(**edges, **filled(ink, "fill", "hatch")), source)
    legend(stage, drawn, ink, [(name, [patch]) for name in looks], columns, hides=False, unseen=unseen, rows=True)


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
    stage: Stage,
    drawn: figure,
    ink: Ink,
    looks: Mapping[str, Look],
    names: Sequence[str],
    edges: Mapping[str, Sequence[Any]],
) -> None:
    """Hatch rectangles, with one renderer for each look: where patterns differ within a renderer, bokeh makes one for
    every rectangle, which took seconds for thousands. `edges`: left, right, bottom and top of each of `names`."""
    for name, look in looks.items():
        if look.hatch == " ":
            continue
        rows = [row for row, one in enumerate(names) if one == name]
        glyph = {**filled(ink, look.light, look.hatch), "fill_alpha": 0, "line_alpha": 0}
        data = {edge: [values[row] for row in rows] for edge, values in edges.items()}
        still(stage, drawn, f"hatch.{name}.{look.light}.{look.hatch}", partial(Quad, **glyph), data)


def beside(
    stage: Stage, drawn: figure, ink: Ink, labels: Sequence[Label], edges: tuple[float, float, float], size: str
) -> ColumnDataSource:
    """Labels beside points, where their view placed them, in font size `size`. `edges`: where the x axis ends, from 0,
    and where the y axis begins and ends."""
    source = stage.source(f"{drawn.name}.labels", label_columns(labels, edges), "roam-labels")

    def make() -> LabelSet:
        names = LabelSet(x="x", y="y", text="text", text_align="align", x_offset="aside", source=source)
        names.text_color, names.text_font_size = ink.text, size
        names.background_fill_color, names.background_fill_alpha = ink.paper, BEHIND_ALPHA
        return names

    layout(stage, drawn, "names", make)
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
        if isinstance(tool, TapTool) and tool.renderers != [renderer]:
            tool.renderers = [renderer]


def hover(
    stage: Stage,
    drawn: figure,
    key: str,
    renderers: Sequence[Any],
    rows: Sequence[tuple[str, str]],
    formatters: Mapping[str, Any] | None = None,
    **more: Any,
) -> HoverTool:
    """A tooltip of `rows` (label, field) over `renderers`; bokeh escapes the values of the fields."""
    # bokeh's own labels have a blue that is hard to read on white (2.6 to 1)
    tooltips = [("", f"{label}: {field}" if label else field) for label, field in rows]
    tool = stage.once(f"{drawn.name}.{key}", lambda: HoverTool(renderers=list(renderers), **more))
    stage.set(tool, tooltips=tooltips, formatters=dict(formatters or {}))
    return stage.add(drawn.toolbar, "tools", tool)
