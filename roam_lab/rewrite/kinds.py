"""Which kinds of rewriting there are, and which graphs can be rewritten."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from roam_lab.errors import FormatError, ParameterError

if TYPE_CHECKING:
    from roam_lab.ir.graph import Graph

KINDS = ("in_place", "fuse", "recompute", "offload")
FREE = ("in_place", "fuse")
"""The kinds that cost no time."""
ON_DEVICE = ("in_place", "fuse", "recompute")
"""The kinds that use the device's memory alone."""


def default_kinds(graph: Graph) -> tuple[str, ...]:
    """The kinds that are allowed for `graph` where the user names none. Offload is among them only on CUDA (a CPU's
    memory is the host's), and only where the graph's times come with the rate of the link to the host, as do those that
    a graph without times is given."""
    on_cuda = graph.environment.get("device", "").startswith("cuda")
    known = graph.device is not None or not any(op.time_us for op in graph.ops)
    return KINDS if on_cuda and known else ON_DEVICE


def checked_kinds(kinds: Iterable[str]) -> frozenset[str]:
    """`kinds` as a set. Raises ParameterError naming the first unknown one."""
    known = frozenset(kinds)
    for kind in sorted(known.difference(KINDS)):
        raise ParameterError(f"there is no rewriting of kind {kind!r}; choose some of {', '.join(KINDS)}")
    return known


def check_graph(graph: Graph) -> None:
    """Raise FormatError if the graph does not say of every op what it reads and writes and whether it is pure
    (roam-graph/1)."""
    if not graph.can_be_rewritten:
        op = next(index for index, op in enumerate(graph.ops) if op.pure is None)
        raise FormatError(
            f"{graph.name}: op {op} ({graph.ops[op].name}) does not say whether it is pure, so nothing can be "
            "rewritten (a roam-graph/1 can only be ordered and laid out); capture the step again"
        )
