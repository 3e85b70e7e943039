"""The kind of each storage of a captured step: activation, gradient, output or temporary."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from roam_lab.ir import Op, Storage

_ADDS = ("aten.add.Tensor", "aten.add_.Tensor")


def with_kinds(
    ops: Sequence[Op],
    storages: Sequence[Mapping[str, Any]],
    outputs: Collection[int | None],
    gradients: Collection[int | None],
) -> Iterator[Storage]:
    """A Storage for each of `storages` (its fields by name), with a kind where the fields have none.

    A storage that the step returns (`outputs`) is an output; one that forward makes and backward reads is an
    activation. Gradients are `gradients` (storages of parameters' gradients as eager holds them), the summands that
    backward adds up to one of them, and whatever else backward makes and the update reads. Others are temporary.
    """
    born: dict[int, str | None] = {}
    phases: dict[int, set[str | None]] = {}
    for op in ops:
        for index in op.creates:
            born[index] = op.phase
        for index in (*op.creates, *op.reads, *op.writes):
            phases.setdefault(index, set()).add(op.phase)
    of_parameters = _with_parts(ops, born, gradients)
    for index, entry in enumerate(storages):
        kind = "temporary"
        if index in outputs:
            kind = "output"
        elif born[index] == "forward" and "backward" in phases[index]:
            kind = "activation"
        elif index in of_parameters or (born[index] == "backward" and "update" in phases[index]):
            kind = "gradient"
        yield Storage(output=index in outputs, **{"kind": kind, **entry})


def _with_parts(
    ops: Sequence[Op], born: Mapping[int, str | None], gradients: Collection[int | None]
) -> set[int | None]:
    """`gradients` with their summands: a parameter that is used twice has a gradient that backward adds up of two."""
    found = set(gradients) - {None}
    for op in reversed(ops):
        if op.phase == "backward" and op.target in _ADDS and found.intersection((*op.creates, *op.writes)):
            found.update(index for index in op.reads if born.get(index) == "backward")
    return found
