"""The lines of a fused op: a loop over runs of rows that contains the lines of each of its ops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.fx import Node

from roam_lab.capture import Captured
from roam_lab.capture.nodes import tensors_of, written_arguments
from roam_lab.capture.row_wise import RowWise, Shape
from roam_lab.ir import Op, Origin
from roam_lab.runtime.arena import Form
from roam_lab.runtime.program import Place
from roam_lab.runtime.program_lines import ProgramLines
from roam_lab.runtime.row_chains import Chain, call_of, chain_of, form_of, is_in_place, scratch_of


def write_chain(writer: ProgramLines, captured: Captured, op: Op, origin: Origin) -> None:
    """Append the lines of a fused op of the running graph."""
    scratch = scratch_of(op, origin)
    size = 0 if scratch is None else writer.graph.storages[scratch].bytes
    _ChainLines(writer, chain_of(captured, origin, size), scratch).write()


class _ChainLines:
    """Writes one chain. `_names`: (node or result, shape) -> the variable of its rows in the loop. `_over`: captured
    storage of a result that overwrites an operand which another op allocated -> the variables of the whole operand and
    of its rows."""

    def __init__(self, writer: ProgramLines, chain: Chain, scratch: int | None) -> None:
        self._writer, self._chain, self._scratch = writer, chain, scratch
        self._inside: list[str] = []
        self._names: dict[tuple[object, Shape], str] = {}
        self._cut: list[str] = []
        self._after: list[tuple[Node, str]] = []
        self._over: dict[int | None, tuple[str, str]] = {}
        self._even = chain.rows % chain.at_once == 0
        self._whole_at_once = chain.rows == chain.at_once

    def write(self) -> None:
        writer, chain = self._writer, self._chain
        for node, part in zip(chain.nodes, chain.parts, strict=True):
            outs = [] if is_in_place(node) else [self._result(node, at, form) for at, form in enumerate(part.results)]
            writer.instead = {given: self._rows(given, shape) for given, shape in part.forms.items()}
            writer.instead |= {given: self._whole(given, shape) for given, shape in part.whole.items()}
            self._inside.append(self._call(node, part, outs))
            writer.instead = {}
            if is_in_place(node) and not writer.is_static(node):
                written = next(written_arguments(node))
                over = self._over.get(writer.storage_of[written][0])
                if over is None:
                    writer.names[writer.key(node)] = writer.value(written)
                else:
                    self._after.append((node, over[0]))
        if self._whole_at_once:
            writer.lines += [*self._cut, *self._inside]
        else:
            head = f"for first, last in {writer.constant(chain.ranges)}:"
            writer.lines += [head, *(f"    {line}" for line in (*self._cut, *self._inside))]
        cut = [line.partition(" ")[0] for line in self._cut]
        if cut:  # else they keep what ops have allocated
            writer.lines.append(f"{' = '.join(cut)} = None")
        for node, base in self._after:
            writer.names[writer.key(node)] = writer.assign(node, f"{base}.view({tuple(tensors_of(node)[0].shape)})")
        writer.ran.update(chain.nodes)

    def _call(self, node: Node, part: RowWise, outs: Sequence[str]) -> str:
        """The call of one op on the rows of a run."""
        writer, kwargs = self._writer, dict(node.kwargs)
        function, arguments, names = call_of(node, part)
        called = writer.function(function)
        if names:
            named = [f"{name}={out}" for name, out in zip(names, outs, strict=True)]
            return writer.call(called, arguments, kwargs, *named)
        return writer.call(called, arguments, kwargs, first=f"({', '.join(outs)},)" if outs else "")

    def _rows(self, node: Node, shape: Shape) -> str:
        """The variable of an argument's rows."""
        storage = self._writer.storage_of[node][0]
        tensor = tensors_of(node)[0]
        if storage in self._chain.inner:
            return self._inner(storage, tensor.dtype, shape)
        if storage in self._over:
            return self._over[storage][1]
        key = (node, shape)
        if key not in self._names:
            self._names[key] = self._run(self._shaped(node, shape))
        return self._names[key]

    def _whole(self, node: Node, shape: Shape) -> str:
        key = (node, shape)
        if key not in self._names:
            self._names[key] = self._shaped(node, shape)
        return self._names[key]

    def _shaped(self, node: Node, shape: Shape) -> str:
        """The variable of a whole argument in a shape; made once, before the loop."""
        writer, tensor = self._writer, tensors_of(node)[0]
        if writer.is_static(node):
            return writer.place(node, tensor, form_of(tensor, shape))
        value = writer.value(node)
        return value if tuple(tensor.shape) == shape else writer.assign(node, f"{value}.view({shape})")

    def _result(self, node: Node, index: int, shape: Shape) -> str:
        """The variable of a result's rows."""
        tensor = tensors_of(node)[index]
        storage = self._writer.storage_of[node][index]
        if storage in self._chain.inner:
            return self._inner(storage, tensor.dtype, shape)
        key = ((node, index), shape)
        if key not in self._names and self._writer.graph.storages[self._writer.where(storage)].external:  # type: ignore[index]
            base = self._shaped(self._read_there(storage, shape), shape)
            self._after.append((node, base))
            self._names[key] = self._run(base)
            self._over[storage] = base, self._names[key]
        elif key not in self._names:
            self._names[key] = self._run(self._writer.place(node, tensor, form_of(tensor, shape)))
        return self._names[key]

    def _read_there(self, storage: int | None, shape: Shape) -> Node:
        """The argument of the chain, allocated by another op, that a result is to overwrite."""
        writer = self._writer
        return next(
            given
            for part in self._chain.parts
            for given, form in part.forms.items()
            if form == shape and writer.key(given)[1] == (writer.where(storage),)
        )

    def _inner(self, storage: int, dtype: object, shape: Shape) -> str:
        """The variable of a value that passes inside, with as many rows as are run at a time."""
        key = (storage, shape)
        if key not in self._names:
            chain = self._chain
            whole = (chain.at_once, *shape[1:])
            strides = tuple(math.prod(whole[dim + 1 :]) for dim in range(len(whole)))
            offset, left = divmod(chain.inner[storage], dtype.itemsize)  # type: ignore[attr-defined]
            assert not left
            form = Form(whole, strides, dtype, offset, False, False)  # type: ignore[arg-type]
            name = self._writer.placed(Place(self._scratch, None, form))
            if not self._even:
                name = self._cut_out(f"{name}[: last - first]")
            self._names[key] = name
        return self._names[key]

    def _run(self, name: str) -> str:
        return name if self._whole_at_once else self._cut_out(f"{name}[first:last]")

    def _cut_out(self, expression: str) -> str:
        name = f"r{len(self._cut)}"
        self._cut.append(f"{name} = {expression}")
        return name
