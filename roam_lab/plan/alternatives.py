"""What PyTorch itself offers to save memory, without a plan: the bytes that each way saves and the time that it costs,
computed from the graph of the eager step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from roam_lab.ir import Graph, captured_order
from roam_lab.ir.roofline import GPUS, roofline_seconds
from roam_lab.plan.autocast import with_autocast
from roam_lab.plan.rewriting import costed
from roam_lab.plan.whole_step import eager_whole_bytes
from roam_lab.rewrite.checkpoint import every_block

NO_BF16 = ("t4", "v100")
"""Names (in `ir/roofline.py`) of the GPUs that have no units for bf16."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to save memory without a plan.

    `saved_bytes`: by how much less the simulated caching allocator reserves than for the eager step (below 0: more).
    `extra_time`: the time that it adds, as a fraction of the ops' time (None: not known). `seconds`: GPU (a name in
    `ir/roofline.py`) -> time of a step. `same_bits`: whether training gives the same bits as eager. `how`: how these
    numbers were computed, in words.
    """

    name: str
    saved_bytes: int
    extra_time: float | None
    seconds: Mapping[str, float]
    same_bits: bool
    how: str


def alternatives(graph: Graph) -> tuple[Alternative, ...]:
    """The ways that are possible for `graph`, a captured step, without those that would change nothing. Empty for a
    roam-graph/1, which does not say enough."""
    if not graph.can_be_rewritten or not graph.ops:
        return ()
    eager = eager_whole_bytes(graph)
    found = []
    early = updates_early(graph)
    if early is not None:
        how = (
            "the captured ops, each update as soon as its gradient is complete; not with gradients clipped by their "
            "norm or scaled together, nor accumulated over several backward passes"
        )
        found.append(_way("optimizer in backward", eager, early, 0.0, True, how))
    blocks = every_block(costed(graph))
    if blocks is not None:
        how = "the captured ops, those inside each repeated block run again before its backward pass"
        name = "every block checkpointed"
        found.append(_way(name, eager, blocks.rewritten().graph, blocks.extra_time, True, how))
    cast = with_autocast(graph)
    if cast is not None:
        how = (
            "estimated: each tensor of 32 bits that autocast would make in 16 counted so, casts and 16-bit copies of "
            "weights included; other rounding, so other numbers"
        )
        way = _way("bf16 autocast", eager, cast, None, False, how)
        found.append(replace(way, seconds={key: one for key, one in way.seconds.items() if key not in NO_BF16}))
    return tuple(found)


def _way(name: str, eager: int, graph: Graph, extra_time: float | None, same_bits: bool, how: str) -> Alternative:
    seconds = {key: roofline_seconds(graph, gpu) for key, gpu in GPUS.items()}
    known = {key: value for key, value in seconds.items() if value is not None}
    return Alternative(name, eager - eager_whole_bytes(graph), extra_time, known, same_bits, how)


def updates_early(graph: Graph) -> Graph | None:
    """The graph with each op of the update as soon as the ops that it depends on have run, and no gradient kept after
    its update. None where no update can run earlier."""
    missing = [len(set(op.after)) for op in graph.ops]
    order: list[int] = []
    held = {index for index, op in enumerate(graph.ops) if op.phase == "update"}

    def run(index: int) -> None:
        waiting = [index]
        while waiting:
            one = waiting.pop()
            order.append(one)
            for follower in sorted(graph.followers[one], reverse=True):
                missing[follower] -= 1
                if not missing[follower] and follower in held:
                    waiting.append(follower)

    ready = [index for index in held if not missing[index]]
    for index, op in enumerate(graph.ops):
        if op.phase != "update":
            if missing[index]:
                return None  # the op follows an update that has not run yet: no order of this kind is legal
            run(index)
    for index in ready:
        run(index)
    if tuple(order) == captured_order(graph):
        return None
    place = {old: new for new, old in enumerate(order)}
    ops = (graph.ops[old] for old in order)
    moved = tuple(replace(op, after=tuple(sorted(place[one] for one in op.after))) for op in ops)
    storages = tuple(replace(one, kind=None) if one.kind == "gradient" else one for one in graph.storages)
    return replace(graph, ops=moved, storages=storages)
