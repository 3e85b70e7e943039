"""The folded computation graph in bokeh; a click on a module opens it, a click on the bar beside it folds it again.

Opening happens in the page (`fold.js`), so it works without a kernel, too. The open nodes are in the source named
"roam-opened", column "node".
"""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

import json
from importlib.resources import files

from bokeh.models import BoxAnnotation, ColumnDataSource, CustomJS, MultiLine, Range1d, Scatter, Text, Title
from bokeh.plotting import figure

from roam_lab.report.figures.cursor import CURSOR, Cursor, scrubbed
from roam_lab.report.figures.graph_columns import graph_columns, tree_data
from roam_lab.report.figures.selection import UNITS, carry, new_selection
from roam_lab.report.figures.theme import Ink, Theme, empty, hover, ink_of, rectangles, still
from roam_lab.report.views.graph import BRACKET, COLUMNS, HALF, GraphView

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
) -> figure:
    """`view` as a U: forward down the left, backward up beside it, update at the right; bands are saved bytes. The cell
    that runs the step under the `cursor` is framed."""
    ink = ink_of(theme)
    selection = selection or new_selection()
    deep = max((bar.level for bar in view.brackets), default=-1) + 1
    drawn = empty(
        "graph",
        view,
        ink,
        max(len(view.rows), 2) * ROW_HEIGHT + MARGIN,
        "tap,save",
        x_range=Range1d(-BRACKET * deep - 0.06, COLUMNS[2][1] + 0.04),
        y_range=Range1d(-len(view.rows) - 0.1, 1.0),
        x_axis_type=None,
        y_axis_type=None,
    )
    carry(drawn, selection)
    marks = Title(text=view.rewritten, text_color=ink.text, text_font_size="11px", text_font_style="normal")
    drawn.add_layout(marks, "below")
    columns = graph_columns(view, ink, int(selection.data["storage"][0]))
    sources = {name: ColumnDataSource(data=data, name=f"roam-graph-{name}") for name, data in columns.items()}
    _glyphs(drawn, sources, ink)
    words = ColumnDataSource(
        data={"node": list(view.opened)},
        name="roam-opened",
        tags=[json.dumps(tree_data(view, ink), separators=(",", ":"), ensure_ascii=False)],
    )
    drawn.tags = [*drawn.tags, words]
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
    redraw = CustomJS(args=laid, code=FOLD + _DRAW)
    words.js_on_change("data", redraw)
    selection.js_on_change("data", redraw)
    drawn.js_on_change("inner_width", redraw)
    for name in ("cells", "bands", "brackets"):
        code = CustomJS(args={**given, "source": sources[name]}, code=FOLD + _OPEN)
        sources[name].selected.js_on_change("indices", code)
    if cursor is not None:
        _frame(drawn, view, cursor, ink, words)
        scrubbed(drawn, cursor)
    return drawn


def _frame(drawn: figure, view: GraphView, cursor: Cursor, ink: Ink, words: ColumnDataSource) -> None:
    """A frame around the cell under the cursor; it follows the cursor, and modules that are opened."""
    box = BoxAnnotation(left=0, right=0, bottom=0, top=0, level="overlay", fill_alpha=0, visible=False)
    box.line_color, box.line_width, box.line_dash = ink.text, 3, [5, 3]
    cells = cursor.steps.data["cell"]
    leaf, phase = divmod(int(cells[cursor.step]), 3) if len(cells) else (0, 0)
    row = view.row_of(leaf) if len(cells) else -1
    if row >= 0:
        box.left, box.right = COLUMNS[phase]
        box.bottom, box.top, box.visible = -row - HALF, -row + HALF, True
    drawn.add_layout(box)
    cursor.follow(drawn, FOLD + _FRAME, {"box": box, "words": words})
    given = {**cursor.given, "box": box, "words": words}
    words.js_on_change("data", CustomJS(args=given, code=CURSOR + FOLD + _FRAME))


def _glyphs(drawn: figure, sources: dict[str, ColumnDataSource], ink: Ink) -> None:
    """Draw bands below the cells, text on top."""
    shown = []
    flow, bands, cells, brackets = (sources[name] for name in ("flow", "bands", "cells", "brackets"))
    still(drawn, MultiLine(xs="xs", ys="ys", line_color=ink.axis, line_width=1.2, line_alpha=0.8), flow)
    still(drawn, Scatter(x="x", y="y", marker="marker", size=6, fill_color=ink.axis, line_color=ink.axis), flow)
    band = drawn.patches(
        "xs", "ys", source=bands, fill_color="fill", fill_alpha=0.42, line_color="fill", line_width=0.7
    )
    hover(drawn, [band], [("", "@text"), ("bytes", "@bytes{0,0}")], point_policy="follow_mouse")
    for source, fill in ((cells, "fill"), (brackets, ink.axis)):
        shown.append(
            rectangles(
                drawn,
                source,
                fill,
                fill_alpha=0.16,
                line_color="line" if source is cells else ink.axis,
                line_width="width" if source is cells else 0.6,
                hatch_pattern="hatch" if source is cells else " ",
                hatch_color=fill,
                hatch_alpha=0.12,
                hatch_scale=9,
            )
        )
    hover(drawn, shown[:1], [("", "@label"), ("", "@sub"), ("", "@mark"), ("", "@hint")], point_policy="follow_mouse")
    hover(drawn, shown[1:], [("", "@label"), ("", "click to fold it")], point_policy="follow_mouse")
    centred = {"text_align": "center", "text_baseline": "middle", "text_color": ink.text}
    upper = Text(x="middle", y="upper", text="short", text_font_size="12px", **centred)
    lower = Text(x="middle", y="lower", text="sub", text_font_size="10px", **centred)
    corner = {**centred, "text_align": "right", "text_baseline": "bottom"}
    peak = Text(x="right", y="top", text="mark", y_offset=-2, text_font_size="10px", **corner)
    for words in (upper, lower, peak):
        still(drawn, words, cells)
    side = Text(x="middle", y="centre", text="short", angle=1.5708, text_font_size="11px", **centred)
    still(drawn, side, brackets)
    heads = {
        "x": [sum(column) / 2 for column in COLUMNS],
        "y": [0.74] * 3,
        "text": ["forward ↓", "backward ↑", "update"],
    }
    still(drawn, Text(x="x", y="y", text="text", text_font_size="12px", **centred), heads)
