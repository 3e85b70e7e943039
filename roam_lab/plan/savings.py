"""What each kind of rewriting in a plan saves (bytes of the live peak) and costs (time)."""

from __future__ import annotations

from collections.abc import Iterable

from roam_lab.ir import Graph, Order
from roam_lab.plan.plan import Rewrite, Saving
from roam_lab.registry import find
from roam_lab.rewrite.kinds import FREE
from roam_lab.rewrite.points import Goals

FREELY = ("order", *FREE)


def savings_of(
    graph: Graph,
    captured_peak_bytes: int,
    peak_bytes: int,
    extra_time: float,
    rewrites: Iterable[Rewrite],
    order: Order | None = None,
) -> tuple[Saving, ...]:
    """What each kind did on top of those before it, in this sequence: the order that rewriting starts from; ops in
    place, and then fused, wherever that costs no time; last recomputing and offload.

    `graph`: the graph before rewriting, with times; `order`: the order that rewriting started from (None: the base
    order). Each row but the last is the difference of two graphs that could run, so a row holds in this sequence only:
    in another, a kind would have saved more or less. Where a plan has fewer ops in place or fused than would be free,
    the last row contains the difference.
    """
    used: frozenset[str] = frozenset(rewrite.kind for rewrite in rewrites)
    paid = [kind for kind in ("recompute", "offload") if kind in used]
    free = find("rewrite", "free").function
    stages: list[tuple[str, int, float]] = []
    for number, kind in enumerate(FREELY):
        if kind == "order" or kind in used:
            point = free(graph, Goals(kinds=used.intersection(FREELY[1 : number + 1]), order=order)).points[0]
            stages.append((kind, point.peak_bytes, point.extra_time))
    end = (peak_bytes, extra_time)
    if paid:
        stages.append((", ".join(paid), *end))
    else:
        stages[-1] = (stages[-1][0], *end)
    found: list[Saving] = []
    before, time = captured_peak_bytes, 0.0
    for kind, peak, extra in stages:
        if kind != "order" or peak != before or len(stages) == 1:
            found.append(Saving(kind, before - peak, round(extra - time, 9)))
        before, time = peak, extra
    return tuple(found)
