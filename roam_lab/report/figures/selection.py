"""One selected storage for all figures. It lives in the page: it works in static HTML and, with a kernel, from Python.

The selection is a ColumnDataSource named "roam-selection" whose data is {"storage": [number]}, -1 for none. Glyph
sources that show storages are connected to it by row; other figures listen to it with code of their own.
"""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource
from numpy.typing import NDArray

from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import plain
from roam_lab.report.views.tensors import Tensors

NAME = "roam-selection"
NONE = -1

_ROWS = """
const rowsOf = (one) => [row_of.data.row[one] ?? -1, row_of.data.twin[one] ?? -1].filter((row) => row >= 0)
const show = () => {
  const wanted = rowsOf(selection.data.storage[0])
  if (String(wanted) !== String(source.selected.indices)) source.selected.indices = wanted
}
"""
_TAKE = """
const at = source.selected.indices[0]
const now = selection.data.storage[0]
const next = at === undefined ? (rowsOf(now).length ? -1 : now) : source.data.storage[at]
const other = next !== now && !(at !== undefined && rowsOf(now).includes(at))
if (other && (next >= 0 || at === undefined)) selection.data = {storage: [next]}
else show()  // what stands for no storage is not selected: bokeh would dim everything else
"""
_SHOW = """
show()
"""
UNITS = files(__package__).joinpath("units.js").read_text("utf-8")
DESCRIBE = (
    UNITS
    + """
function describe(s) {
  const d = tensors.data, {kinds, modules, sources} = listsOf(names)
  const parts = ["storage " + s, kinds[d.kind[s]], bytesText(d.bytes[s]) + " (" + exact(d.bytes[s]) + " bytes)"]
  for (const told of [modules[d.module[s]], sources[d.source[s]], d.op[s]]) if (told) parts.push(told)
  if (d.start[s] >= 0) parts.push("steps " + exact(d.start[s] + 1) + " to " + exact(d.end[s]))
  if (d.offset[s] >= 0) parts.push("offset " + exact(d.offset[s]))
  return parts.join(" · ")
}
"""
)
"""`Tensors.card` in JavaScript; needs the arguments of `describing`."""


def new_selection(storage: int = NONE, stage: Stage | None = None) -> ColumnDataSource:
    """A selection of its own: figures that share it are linked. `storage`: selected from the start."""
    return (stage or Stage()).source(NAME, {"storage": [storage]}, NAME)


def selected_in(stage: Stage, selection: ColumnDataSource) -> int:
    """The storage that is selected, -1 for none."""
    return int(stage.value(selection, "data")["storage"][0])


def carry(stage: Stage, model: Any, selection: ColumnDataSource) -> None:
    """Attach the selection to `model`, so that it is in every page with it, and `selection_of` finds it."""
    stage.add(model, "tags", selection)


def connect(
    stage: Stage,
    selection: ColumnDataSource,
    source: ColumnDataSource,
    row_of: NDArray[np.int64],
    twin_of: NDArray[np.int64] | None = None,
) -> None:
    """Link the selection in `source`, which has a column "storage", with the shared one, in both directions.

    `row_of[storage]` is the row that shows it, -1 for none; `twin_of` a second row, where the figure shows two runs. A
    row whose storage is -1 (several drawn together, or a storage of another graph) can be shown as selected, but a
    click on it selects nothing.
    """
    rows = row_of.astype(np.int32)
    twins = np.full(len(rows), -1, np.int32) if twin_of is None else twin_of.astype(np.int32)
    key = f"{source.name}.selected"
    given = {"selection": selection, "source": source}
    given["row_of"] = stage.source(f"{key}.rows", {"row": rows, "twin": twins})
    stage.listen(f"{key}.take", _ROWS + _TAKE, given, (source.selected, "indices"))
    stage.listen(f"{key}.show", _ROWS + _SHOW, given, (selection, "data"))
    now = selected_in(stage, selection)
    places = (int(rows[now]), int(twins[now])) if 0 <= now < len(rows) else ()
    stage.set(source.selected, indices=[row for row in places if row >= 0])


def describing(known: Tensors, stage: Stage | None = None) -> dict[str, Any]:
    """Arguments that DESCRIBE needs: columns over all storages, with each name listed once."""
    stage = stage or Stage()
    every = range(len(known.bytes))
    modules, module = coded([known.module(one) for one in every])
    sources, source = coded([known.source(one) for one in every])
    kinds, kind = coded(list(known.kind))
    data: dict[str, Any] = {
        "kind": kind,
        "module": module,
        "source": source,
        "op": [plain(known.op(one)) for one in every],
        "bytes": known.bytes.astype(np.float64),
        "start": known.start.astype(np.int32),
        "end": known.end.astype(np.int32),
        "offset": known.offset.astype(np.float64),
    }
    names = lists(stage, "roam-tensor-names", kinds=kinds, modules=modules, sources=sources)
    return {"tensors": stage.source("roam-tensors", data, "roam-tensors"), "names": names}


def lists(stage: Stage, name: str, data: dict[str, Any] | None = None, **parts: Any) -> ColumnDataSource:
    """Lists of any lengths, and numbers, for code in the page, which reads them by `listsOf`; `data`: columns beside
    them."""
    told = [json.dumps(parts, separators=(",", ":"), ensure_ascii=False)]
    return stage.source(name, data or {}, name, tags=told)


def parts_of(source: ColumnDataSource, stage: Stage | None = None) -> dict[str, Any]:
    """What was given to `lists`."""
    found: dict[str, Any] = json.loads((stage or Stage()).value(source, "tags")[0])
    return found


def coded(names: list[str]) -> tuple[list[str], NDArray[np.int32]]:
    """The distinct names, as bokeh shows them, and for each of `names` its index there."""
    places: dict[str, int] = {}
    coded = [places.setdefault(plain(name), len(places)) for name in names]
    return list(places), np.array(coded, np.int32)


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
