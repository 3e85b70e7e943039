"""Fused ops: chains of row-wise ops that are run a few rows at a time, so that values between them never exist as a
whole.

Each op is run by its own kernel, on as many rows as fit into the scratch memory, so the bits are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture import Captured
from roam_lab.capture.nodes import tensors_of, written_arguments
from roam_lab.capture.row_wise import RowWise, Shape, fills_its_storage, row_wise
from roam_lab.capture.writers import find_writer
from roam_lab.errors import JudgementError
from roam_lab.ir import Graph, Layout, Lifetime, Op, Origin
from roam_lab.layout.best_fit import best_fit
from roam_lab.runtime.arena import Form
from roam_lab.runtime.caches import cache_bytes

CACHE_SHARE = 0.5
"""The fraction of the processor's cache that the rows of one run may take, with everything that the chain's ops touch.
With more, values inside the chain go to memory and back; with less, calls cost more than they save (docs/fusing.md)."""
ALIGNMENTS = (64, 16)
"""Alignments, in bytes, of values in the scratch memory: the first with which one row fits is used."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain. `nodes`: in sequence; `parts`: how each is run by rows; `inner`: captured storage that passes inside ->
    byte offset in the scratch memory; `at_once`: how many rows are run at a time."""

    nodes: tuple[Node, ...]
    parts: tuple[RowWise, ...]
    inner: dict[int, int]
    at_once: int

    @property
    def rows(self) -> int:
        """The number of rows of all its ops."""
        return self.parts[0].rows

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The half-open range of rows of each run."""
        return tuple((first, min(first + self.at_once, self.rows)) for first in range(0, self.rows, self.at_once))


def chain_of(captured: Captured, origin: Origin, scratch: int) -> Chain:
    """The ops of `origin` as a chain with `scratch` bytes of memory for values that pass inside.

    Raises JudgementError, naming the op, where they cannot be run row by row together.
    """
    ops = [captured.graph.ops[index] for index in origin.ops]
    nodes = tuple(captured.step.nodes[index] for index in origin.ops)
    results = iter(origin.results)
    inner = {storage for op in ops for storage in op.creates if next(results) is None}
    parts: list[RowWise] = []
    for op, node in zip(ops, nodes, strict=True):
        part = row_wise(node)
        if part is None or (parts and part.rows != parts[0].rows):
            raise JudgementError(f"op {op.name} is fused with ops of other rows than its own, or has none")
        parts.append(part)
    _check(captured, nodes, parts, inner)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    row_bytes: dict[int, int] = {}
    for place, op in enumerate(ops):
        for storage in op.creates:
            first[storage] = place
            row_bytes[storage] = captured.graph.storages[storage].bytes // parts[0].rows
        for storage in (*op.creates, *op.reads, *op.writes):
            last[storage] = place
    spans = {storage: (first[storage], last[storage] + 1, row_bytes[storage]) for storage in sorted(inner)}
    rows = parts[0].rows
    most = rows
    if inner and captured.device == "cpu":
        ends = last.keys() - inner
        touched = sum(captured.graph.storages[storage].bytes // rows for storage in ends)
        most = int(CACHE_SHARE * cache_bytes(captured.where)) // (touched + _laid_out(spans, 1, 1).arena_bytes)
    for alignment in ALIGNMENTS:
        at_once = max(1, min(rows, most))
        while at_once:
            layout = _laid_out(spans, at_once, alignment)
            if layout.arena_bytes <= scratch:
                return Chain(nodes, tuple(parts), dict(layout.offsets), at_once)
            fewer = at_once * scratch // layout.arena_bytes
            at_once = min(at_once - 1, fewer // 16 * 16 if fewer >= 16 else fewer)
    raise JudgementError(f"op {ops[0].name} is fused with {scratch} bytes of scratch, too few for one row")


def _laid_out(spans: Mapping[int, tuple[int, int, int]], rows: int, alignment: int) -> Layout:
    """The layout in the scratch memory of `rows` rows of each storage. `spans`: storage -> (start, end, bytes of a
    row), in half-open positions of the chain's ops."""
    return best_fit(
        tuple(
            Lifetime(storage, start, end, -(-rows * row_bytes // alignment) * alignment)
            for storage, (start, end, row_bytes) in spans.items()
        )
    )


def _check(captured: Captured, nodes: Sequence[Node], parts: Sequence[RowWise], inner: set[int]) -> None:
    """Raise JudgementError unless every value that passes inside is one tensor that fills its storage and is read by
    rows, and no tensor that is read whole changes within the chain."""
    storage_of = captured.step.storage_of
    made: set[int] = set()
    for node, part in zip(nodes, parts, strict=True):
        for given in (*part.forms, *part.whole):
            storage = storage_of[given][0]
            if storage not in made:
                continue
            whole = given in part.whole or math.prod(part.forms[given]) != tensors_of(given)[0].numel()
            if whole or (storage in inner and not fills_its_storage(tensors_of(given)[0])):
                raise JudgementError(f"op {node.name} does not read by rows what an op fused with it makes")
        changed = list(written_arguments(node))
        if any(argument not in part.forms for argument in changed):
            raise JudgementError(f"op {node.name} writes what it does not hold by rows")
        made |= {one for one in (*storage_of[node], *(s for a in changed for s in storage_of[a])) if one is not None}


def form_of(tensor: torch.Tensor, shape: Shape) -> Form:
    """The form of a contiguous tensor in another shape."""
    strides = tuple(math.prod(shape[dim + 1 :]) for dim in range(len(shape)))
    return Form(shape, strides, tensor.dtype, int(tensor.storage_offset()), False, False)


def is_in_place(node: Node) -> bool:
    """Whether the op writes into one of its arguments."""
    return bool(node.target._schema.is_mutable)  # type: ignore[union-attr]


def call_of(node: Node, part: RowWise) -> tuple[Any, list[Any], tuple[str, ...]]:
    """How an op is called on some rows: (function, the op's arguments, names of its `out=` arguments). Without names
    the tensors for the results, if there are any, come first, in a tuple."""
    arguments = [part.arguments.get(place, given) for place, given in enumerate(node.args)]
    if is_in_place(node):
        return node.target, arguments, ()
    writer = find_writer(node)
    assert writer is not None
    return writer.function, arguments, writer.names


def scratch_of(op: Op, origin: Origin) -> int | None:
    """The storage that a fused op creates as its scratch memory; None where it has none."""
    return next((storage for storage in op.creates if storage not in origin.results), None)


def scratch_bytes(graph: Graph, op: Op, origin: Origin) -> int:
    """The bytes of that scratch memory; 0 where there is none."""
    storage = scratch_of(op, origin)
    return 0 if storage is None else graph.storages[storage].bytes


def check_over(captured: Captured, chain: Chain, op: Op, origin: Origin) -> None:
    """Raise JudgementError where a result of a chain would overwrite an operand that the chain does not read by those
    same rows, or that it reads afterwards."""
    ops = [captured.graph.ops[index] for index in origin.ops]
    reads, results = iter(origin.reads), iter(origin.results)
    where = [{storage: next(reads) for storage in one.reads} for one in ops]
    over = [{storage: next(results) for storage in one.creates} for one in ops]
    storage_of = captured.step.storage_of
    for at, placed in enumerate(over):
        for made, place in placed.items():
            if place is None or place in op.creates:
                continue
            for k, (node, part) in enumerate(zip(chain.nodes, chain.parts, strict=True)):
                for given in (*part.forms, *part.whole):
                    read = storage_of[given][0]
                    if read is None or read == made or where[k].get(read) != place:
                        continue
                    shape = part.forms.get(given, ())
                    tensor = tensors_of(given)[0]
                    by_rows = math.prod(shape) * tensor.element_size() == captured.graph.storages[made].bytes
                    by_rows = by_rows and str(tensor.dtype) == f"torch.{captured.graph.storages[made].dtype}"
                    direct = k != at or (made, read) in ops[at].reuse
                    if k > at or not by_rows or not direct:
                        raise JudgementError(
                            f"op {op.name} puts the result of {ops[at].name} over storage {place}, which "
                            f"{node.name} reads"
                        )
