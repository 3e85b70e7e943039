"""Plans for the browser to show: a generated step with kinds, modules and sources, as a captured one has."""

from __future__ import annotations

from dataclasses import replace

from roam_lab.ir import Graph, Op, Storage
from roam_lab.plan import Plan, make_plan
from tests.plan.graphs import captured_plan
from tests.plan.training_step import training_step

KINDS = {"forward": "activation", "backward": "gradient", "update": "temporary"}


def described_step(blocks: int) -> Graph:
    """`training_step` with what capture adds: kind, shape, dtype, module and source."""
    graph = training_step(blocks)
    ops = [
        replace(op, module=f"model.block.{index % blocks}", source=f"model.py:{10 + index % 90}")
        for index, op in enumerate(graph.ops)
    ]
    creator = {storage: op for op in ops for storage in op.creates}
    storages = [
        replace(storage, kind=_kind(creator[index]), shape=(storage.bytes // 4,), dtype="float32")
        for index, storage in enumerate(graph.storages)
    ]
    return replace(graph, name=f"step of {blocks} blocks", ops=tuple(ops), storages=tuple(storages))


def step_plan(blocks: int, order: str = "auto", layout: str = "best_fit") -> Plan:
    """A plan of `described_step`."""
    return make_plan(described_step(blocks), order=order, layout=layout, environment={"torch": "none", "device": "cpu"})


def _kind(op: Op) -> str:
    return KINDS[op.phase or "forward"]


def many_storages_plan(count: int) -> Plan:
    """`count` storages of one KiB, 100 alive at once, in captured order: quick to make, much to draw."""
    ops = tuple(
        Op(f"op_{index}", "t", (index - 1,) if index else (), (index,), (index - 99,) if index >= 99 else ())
        for index in range(count)
    )
    graph = Graph("many", tuple(Storage(1024, kind="activation") for _ in ops), ops)
    return captured_plan(graph, {index: 1024 * (index % 100) for index in range(count)}, 100 * 1024)
