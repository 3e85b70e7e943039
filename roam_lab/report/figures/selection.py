"""One selected storage for all figures, in the page itself: it works in static HTML and, beside a kernel, in Python.

The selection is a ColumnDataSource named "roam-selection" whose data is {"storage": [number]}, -1 for none. Glyph
sources that show storages are connected to it by row; other figures listen to it with code of their own.
"""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS
from bokeh.models.dom import Span, Text
from bokeh.models.ui import Pane
from numpy.typing import NDArray

from roam_lab.report.figures.theme import Ink, plain
from roam_lab.report.views.tensors import Tensors

NAME = "roam-selection"
NONE = -1

_TAKE = """
const at = source.selected.indices[0]
const now = selection.data.storage[0]
const rows = row_of.data.row
const shown = rows.length ? (rows[now] ?? -1) >= 0 : source.data.storage.includes(now)
const next = at === undefined ? (shown ? -1 : now) : source.data.storage[at]
if (next !== now && (next >= 0 || at === undefined)) selection.data = {storage: [next]}
"""
_SHOW = """
const now = selection.data.storage[0]
const rows = row_of.data.row
let wanted = []
if (now >= 0 && rows.length) { if (rows[now] >= 0) wanted = [rows[now]] }
else if (now >= 0) source.data.storage.forEach((one, row) => { if (one === now) wanted.push(row) })
if (String(wanted) !== String(source.selected.indices)) source.selected.indices = wanted
"""
_CARD = """
const now = selection.data.storage[0]
card.content = now < 0 ? nothing : describe(now)
"""
DESCRIBE = """
function exact(n) { return Math.round(n).toString().replace(/\\B(?=(\\d{3})+(?!\\d))/g, ",") }
function bytesText(n) {
  for (const [name, unit, digits] of [["GiB", 2**30, 2], ["MiB", 2**20, 1], ["KiB", 2**10, 1]])
    if (n >= unit) {
      const [whole, part] = (n / unit).toFixed(digits).split(".")
      return exact(Number(whole)) + "." + part + " " + name
    }
  return exact(n) + " B"
}
function describe(s) {
  const d = tensors.data
  const parts = ["storage " + s, kinds[d.kind[s]], bytesText(d.bytes[s]) + " (" + exact(d.bytes[s]) + " bytes)"]
  for (const told of [modules[d.module[s]], sources[d.source[s]], d.op[s]]) if (told) parts.push(told)
  if (d.start[s] >= 0) parts.push("steps " + exact(d.start[s]) + " to " + exact(d.end[s]))
  if (d.offset[s] >= 0) parts.push("offset " + exact(d.offset[s]))
  return parts.join(" · ")
}
"""
"""JavaScript twin of `Tensors.card`; needs the arguments of `describing`."""


def new_selection(storage: int = NONE) -> ColumnDataSource:
    """A selection of its own: figures that share it are linked. `storage`: selected from the start."""
    return ColumnDataSource(data={"storage": [storage]}, name=NAME)


def carry(model: Any, selection: ColumnDataSource) -> None:
    """Let `model` bring the selection along wherever it is shown, and be found by `selection_of`."""
    model.tags = [*model.tags, selection]


def connect(selection: ColumnDataSource, source: ColumnDataSource, row_of: NDArray[np.int64] | None = None) -> None:
    """Select in `source`, which has a column "storage", what is selected, and the other way round.

    `row_of[storage]` is its row, -1 for none; None: every row whose column "storage" holds it. A row of -1 (several
    storages drawn together) can be shown as selected, but selects nothing.
    """
    rows = np.zeros(0, np.int32) if row_of is None else row_of.astype(np.int32)
    # in a source, not as an argument: `renew` then changes data alone
    given = {"selection": selection, "source": source, "row_of": ColumnDataSource(data={"row": rows})}
    source.selected.js_on_change("indices", CustomJS(args=given, code=_TAKE))
    selection.js_on_change("data", CustomJS(args=given, code=_SHOW))
    now = int(selection.data["storage"][0])
    if now >= 0:
        found = (
            [int(row_of[now])]
            if row_of is not None
            else [row for row, one in enumerate(source.data["storage"]) if one == now]
        )
        source.selected.indices = [row for row in found if row >= 0]


def describing(known: Tensors) -> dict[str, Any]:
    """Arguments that DESCRIBE needs: every storage's columns, names told once."""
    modules, module = _coded([known.module(one) for one in range(len(known.bytes))])
    sources, source = _coded([known.source(one) for one in range(len(known.bytes))])
    kinds, kind = _coded(list(known.kind))
    data: dict[str, Any] = {
        "kind": kind,
        "module": module,
        "source": source,
        "op": [plain(known.op(one)) for one in range(len(known.bytes))],
        "bytes": known.bytes.astype(np.float64),
        "start": known.start.astype(np.int32),
        "end": known.end.astype(np.int32),
        "offset": known.offset.astype(np.float64),
    }
    return {
        "tensors": ColumnDataSource(data=data, name="roam-tensors"),
        "kinds": kinds,
        "modules": modules,
        "sources": sources,
    }


def _coded(names: list[str]) -> tuple[list[str], NDArray[np.int32]]:
    places: dict[str, int] = {}
    coded = [places.setdefault(plain(name), len(places)) for name in names]
    return list(places), np.array(coded, np.int32)


def card(selection: ColumnDataSource, known: Tensors, ink: Ink, described: dict[str, Any]) -> Pane:
    """One line that tells the selected storage: a text node, so names are shown and never run; no widget, so that the
    page needs no more of BokehJS than figures do."""
    nothing = "Nothing selected: click a storage in any figure."
    now = int(selection.data["storage"][0])
    told = Text(content=nothing if now < 0 else plain(known.card(now)))
    given = {"selection": selection, "card": told, "nothing": nothing, **described}
    selection.js_on_change("data", CustomJS(args=given, code=DESCRIBE + _CARD))
    drawn = Pane(
        elements=[Span(children=[told])],
        name="roam-selected",
        styles={"color": ink.text, "font": "12px system-ui, sans-serif", "min-height": "2.6em", "display": "block"},
        html_attributes={"role": "status", "aria-live": "polite"},
    )
    carry(drawn, selection)
    return drawn


def selection_of(model: Any) -> ColumnDataSource | None:
    """The selection that `model` (a figure, or a layout of them) shows; None if it shows none."""
    found = [one for one in model.references() if isinstance(one, ColumnDataSource) and one.name == NAME]
    return found[0] if found else None


def select(model: Any, storage: int | None) -> None:
    """Select `storage` (None: nothing) in `model` and all figures linked with it. In a page that is shown with a kernel
    behind it, the page follows."""
    selection = selection_of(model)
    if selection is not None:
        selection.data = {"storage": [NONE if storage is None else storage]}


def on_select(model: Any, listener: Callable[[int | None], None]) -> None:
    """Call `listener` with the storage that is selected, None for none, whenever that changes."""
    selection = selection_of(model)
    if selection is not None:
        selection.on_change(
            "data", lambda name, old, new: listener(new["storage"][0] if new["storage"][0] >= 0 else None)
        )
