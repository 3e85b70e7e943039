"""What each storage of a captured step is for: an activation, a gradient, an output, or temporary."""

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
    """`storages`, the values of each Storage's fields by name, with kinds where they tell none.

    What the step returns is an output, what forward leaves to backward an activation. `gradients`, those of parameters
    as eager holds them, what backward adds up to them, and whatever else it leaves to the update, are gradients.
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
    """`gradients`, and what backward adds up to one: a parameter that is used twice has two parts of a gradient."""
    found = set(gradients) - {None}
    for op in reversed(ops):
        if op.phase == "backward" and op.target in _ADDS and found.intersection((*op.creates, *op.writes)):
            found.update(index for index in op.reads if born.get(index) == "backward")
    return found
