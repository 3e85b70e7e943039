"""The folded computation graph in bokeh; a click on a module opens it, a click on the bar beside it folds it again.

Opening happens in the page (`fold.js`), so it works without a kernel, too. The open nodes are in the source named
"roam-opened", column "node".
"""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

import json
from functools import partial
from importlib.resources import files

from bokeh.models import BoxAnnotation, CDSView, ColumnDataSource, GroupFilter, MultiLine, Quad, Scatter, Text, Title
from bokeh.plotting import figure

from roam_lab.report.figures.cursor import CURSOR, Cursor, scrubbed
from roam_lab.report.figures.graph_columns import graph_columns, tree_data
from roam_lab.report.figures.parts import EDGES, HATCH_SCALE, empty, hover, layout, lively, rectangles, still
from roam_lab.report.figures.selection import UNITS, carry, new_selection, selected_in
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Ink, Theme, ink_of
from roam_lab.report.views.graph import BRACKET, COLUMNS, HALF, GraphView
from roam_lab.report.views.look import PHASES as LOOKS

ROW_HEIGHT = 56
MARGIN = 84
FOLD = UNITS + files(__package__).joinpath("fold.js").read_text("utf-8")
_DRAW = """
const tree = fig.inner_width ? foldLetters(foldTree(words), fig.inner_width / (x.end - x.start)) : foldTree(words)
const laid = foldColumns(tree, words.data.node, selection.data.storage[0])
for (const [name, source] of Object.entries({cells, bands, brackets, flow})) {
  source.selected.indices = []
  source.inspected.indices = []
  source.data = laid[name]
}
// bokeh takes new data in over several turns and paints at once when the height changes: that must wait
setTimeout(() => {
  x.start = -bracket * laid.deep - 0.06
  y.start = -laid.rows - 0.1
  fig.height = Math.max(laid.rows, 2) * row_height + margin
}, 0)
"""
_OPEN = """
const at = cb_obj.indices[0]
if (at === undefined) return
const tree = foldTree(words)
const node = source.data.node ? source.data.node[at] : -1
const storage = source.data.storage ? source.data.storage[at] : -1
cb_obj.indices = []
if (node >= 0 && tree.children[node].length) words.data = {node: foldToggled(tree, words.data.node, node)}
else if (storage >= 0) selection.data = {storage: [selection.data.storage[0] === storage ? -1 : storage]}
"""
_FRAME = """
const tree = foldTree(words)
const cell = steps.data.cell[now.data.step[0]]
const row = cell === undefined ? -1 : foldRowOf(tree, foldRows(tree, words.data.node))[Math.floor(cell / 3)]
const [left, right] = tree.columns[cell === undefined ? 0 : cell % 3]
const seen = row >= 0 ? {left, right, bottom: -row - tree.half, top: -row + tree.half} : {}
box.setv({...seen, visible: row >= 0}, {sync: false})
"""


def graph_figure(
    view: GraphView,
    *,
    theme: Theme = "auto",
    selection: ColumnDataSource | None = None,
    cursor: Cursor | None = None,
    stage: Stage | None = None,
) -> figure:
    """`view` as a U: forward down the left, backward up beside it, update at the right; bands are saved bytes. The cell
    that runs the step under the `cursor` is framed."""
    ink, stage = ink_of(theme), stage or Stage()
    selection = selection or new_selection(stage=stage)
    deep = max((bar.level for bar in view.brackets), default=-1) + 1
    drawn = empty(
        stage,
        "graph",
        view,
        ink,
        max(len(view.rows), 2) * ROW_HEIGHT + MARGIN,
        "tap,save",
        x_range=stage.range("roam-graph.x", -BRACKET * deep - 0.06, COLUMNS[2][1] + 0.04),
        y_range=stage.range("roam-graph.y", -len(view.rows) - 0.1, 1.0),
        x_axis_type=None,
        y_axis_type=None,
    )
    carry(stage, drawn, selection)
    marks = {"text_color": ink.text, "text_font_size": "11px", "text_font_style": "normal"}
    layout(stage, drawn, "rewritten", lambda: Title(**marks), "below", text=view.rewritten)
    columns = graph_columns(view, ink, selected_in(stage, selection))
    sources = {
        name: stage.source(f"roam-graph.{name}.data", data, f"roam-graph-{name}") for name, data in columns.items()
    }
    _glyphs(stage, drawn, sources, ink)
    tree = json.dumps(tree_data(view, ink), separators=(",", ":"), ensure_ascii=False)
    words = stage.source("roam-graph.words", {"node": list(view.opened)}, "roam-opened", tags=[tree])
    stage.add(drawn, "tags", words)
    given = {"words": words, "selection": selection}
    laid = {
        **given,
        **sources,
        "x": drawn.x_range,
        "y": drawn.y_range,
        "fig": drawn,
        "bracket": BRACKET,
        "row_height": ROW_HEIGHT,
        "margin": MARGIN,
    }
    heard = ((words, "data"), (selection, "data"), (drawn, "inner_width"))
    stage.listen("roam-graph.redraw", FOLD + _DRAW, laid, *heard)
    for name in ("cells", "bands", "brackets"):
        args = {**given, "source": sources[name]}
        stage.listen(f"roam-graph.{name}.open", FOLD + _OPEN, args, (sources[name].selected, "indices"))
    if cursor is not None:
        _frame(stage, drawn, view, cursor, ink, words)
        scrubbed(stage, drawn, cursor)
    return drawn


def _frame(stage: Stage, drawn: figure, view: GraphView, cursor: Cursor, ink: Ink, words: ColumnDataSource) -> None:
    """A frame around the cell under the cursor; it follows the cursor, and modules that are opened."""
    look = {"level": "overlay", "fill_alpha": 0, "line_color": ink.text, "line_width": 3, "line_dash": [5, 3]}
    cell = cursor.cell
    leaf, phase = divmod(0 if cell is None else cell, 3)
    row = -1 if cell is None else view.row_of(leaf)
    edges = (0, 0, 0, 0) if row < 0 else (*COLUMNS[phase], -row - HALF, -row + HALF)
    place = dict(zip(EDGES, edges, strict=True))
    box = layout(stage, drawn, "frame", lambda: BoxAnnotation(**look), visible=row >= 0, **place)
    cursor.follow(stage, drawn, FOLD + _FRAME, {"box": box, "words": words})
    args = {**cursor.given, "box": box, "words": words}
    stage.listen("roam-graph.frame.opened", CURSOR + FOLD + _FRAME, args, (words, "data"))


def _glyphs(stage: Stage, drawn: figure, sources: dict[str, ColumnDataSource], ink: Ink) -> None:
    """Draw bands below the cells, text on top."""
    flow, bands, cells, brackets = (sources[name] for name in ("flow", "bands", "cells", "brackets"))
    line = {"line_color": ink.axis, "line_width": 1.2, "line_alpha": 0.8}
    still(stage, drawn, "flow", lambda: MultiLine(xs="xs", ys="ys", **line), flow)
    arrow = {"marker": "marker", "size": 6, "fill_color": ink.axis, "line_color": ink.axis}
    still(stage, drawn, "arrows", lambda: Scatter(x="x", y="y", **arrow), flow)
    pale = {"fill_color": "fill", "fill_alpha": 0.42, "line_color": "fill", "line_width": 0.7}
    band = lively(stage, drawn, "bands", lambda: drawn.patches("xs", "ys", source=bands, **pale))
    hover(stage, drawn, "band", [band], [("", "@text"), ("bytes", "@bytes{0,0}")], point_policy="follow_mouse")
    cell = rectangles(stage, drawn, "cells", cells, fill_alpha=0.16, line_color="line", line_width="width")
    bar = rectangles(stage, drawn, "bars", brackets, ink.axis, fill_alpha=0.16, line_color=ink.axis, line_width=0.6)
    for look in LOOKS.values():
        if look.hatch != " ":
            _hatch(stage, drawn, cells, look.hatch, ink.of(look))
    rows = [("", "@label"), ("", "@sub"), ("", "@mark"), ("", "@hint")]
    hover(stage, drawn, "cell", [cell], rows, point_policy="follow_mouse")
    hover(stage, drawn, "bar", [bar], [("", "@label"), ("", "click to fold it")], point_policy="follow_mouse")
    centred = {"text_align": "center", "text_baseline": "middle", "text_color": ink.text}
    corner = {**centred, "text_align": "right", "text_baseline": "bottom", "y_offset": -2}
    for name, x, y, size, style in (
        ("short", "middle", "upper", "12px", centred),
        ("sub", "middle", "lower", "10px", centred),
        ("mark", "right", "top", "10px", corner),
    ):
        own = {**style, "x": x, "y": y, "text": name, "text_font_size": size}
        still(stage, drawn, name, partial(Text, **own), cells)
    turned = {**centred, "x": "middle", "y": "centre", "text": "short", "angle": 1.5708, "text_font_size": "11px"}
    still(stage, drawn, "side", lambda: Text(**turned), brackets)
    heads = {
        "x": [sum(column) / 2 for column in COLUMNS],
        "y": [0.74] * 3,
        "text": ["forward ↓", "backward ↑", "update"],
    }
    still(stage, drawn, "heads", lambda: Text(x="x", y="y", text="text", text_font_size="12px", **centred), heads)


def _hatch(stage: Stage, drawn: figure, cells: ColumnDataSource, pattern: str, colour: str) -> None:
    """Hatch the cells of one phase: where patterns differ within a renderer, bokeh makes one for every cell."""
    look = {"hatch_pattern": pattern, "hatch_color": colour, "hatch_alpha": 0.12, "hatch_scale": HATCH_SCALE}
    edges = {edge: edge for edge in EDGES}
    of_phase = stage.once(
        f"roam-graph.phase.{pattern}", lambda: CDSView(filter=GroupFilter(column_name="hatch", group=pattern))
    )
    still(
        stage,
        drawn,
        f"hatch.{pattern}",
        lambda: Quad(**edges, fill_alpha=0, line_alpha=0, **look),
        cells,
        view=of_phase,
    )
