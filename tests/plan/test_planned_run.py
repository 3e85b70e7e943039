"""A planned step on the simulated allocator, segment by segment, and the needs at a size that follow from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roam_lab.ir import Graph, Op, Storage
from roam_lab.ir.roofline import GPUS, roofline_seconds
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import least_bytes
from roam_lab.plan import Plan, Profile, make_plan
from roam_lab.plan.planned_run import simulate_planned
from roam_lab.plan.runs import (
    Point,
    eager_least_bytes,
    plan_for,
    planned_bytes,
    point_at,
    reserved_bytes,
)
from roam_lab.plan.whole_step import eager_whole_bytes
from tests.rewrite.graphs import blocks

MIB = 2**20


def by_hand(graph: Graph, offsets: dict[int, int], arena: int, device: str = "cuda") -> Plan:
    """A plan in captured order with this layout."""
    return replace(make_plan(graph, environment={"device": device}), offsets=offsets, arena_bytes=arena)


def chain(*sizes: int) -> Graph:
    """Ops that read what the one before made; all but the first result are allocated by their ops."""
    storages = tuple(Storage(size, region="op" if at else "arena") for at, size in enumerate(sizes))
    ops = tuple(
        Op(f"op_{at}", "aten.mm.default", (at - 1,) if at else (), (at,), (at - 1,) if at else (), flops=10**9)
        for at in range(len(sizes))
    )
    return Graph("chain", storages, ops)


def test_on_the_cpu_the_arena_is_all_there_is() -> None:
    graph = chain(3 * MIB, 600, 600)
    plan = make_plan(graph)
    run = TrainingRun(graph, {"parameter": (MIB, 512), "batch": (0,)})
    held = simulate_planned(plan, graph, run, AllocatorSettings())
    assert (held.resident, held.workspace) == (MIB + 512, 0)
    assert held.allocated == MIB + 512 + -(-plan.arena_bytes // 512) * 512
    # a segment of 2 MiB for what is small, one of 20 MiB for what is below 10
    assert held.reserved == 22 * MIB


def test_results_beside_the_arena_are_freed_at_their_end() -> None:
    """Never more than two of them live at once; nothing is lent, as they are small."""
    graph = chain(64, 600, 600, 600, 600)
    plan = by_hand(graph, {0: 0}, 512)
    held = simulate_planned(plan, graph, TrainingRun(graph, {}), AllocatorSettings())
    assert held.allocated == 512 + 2 * 1024
    none = simulate_planned(replace(plan, environment={"device": "cpu"}), graph, TrainingRun(graph, {}))
    assert none.allocated == 512
    empty = simulate_planned(by_hand(chain(0), {0: 0}, 0), chain(0), TrainingRun(chain(0), {}))
    assert (empty.allocated, empty.reserved) == (0, 0)


def test_what_is_lent_lies_in_the_arenas_own_pool() -> None:
    """And so does all that its op allocates besides; an arena of which ranges are lent has 2 MiB at least."""
    storages = (Storage(4 * MIB), Storage(3 * MIB, region="op"), Storage(600, region="op"), Storage(600, region="op"))
    ops = (
        Op("zero", "t", creates=(0,)),
        Op("lent", "t", (0,), (1, 2)),
        Op("last", "t", (1,), (3,), (1, 2)),
    )
    graph = Graph("lent", storages, ops)
    plan = by_hand(graph, {0: 0, 1: 0}, 4 * MIB)
    held = simulate_planned(plan, graph, TrainingRun(graph, {}), AllocatorSettings())
    # the arena's segment of 20 MiB and one of 2 for what its op allocates; 2 for what the last op does
    assert held.reserved == (20 + 2 + 2) * MIB
    assert held.allocated == 4 * MIB + 1024 + 1024
    small = Graph("small", (Storage(64), Storage(MIB + 512, region="op")), (ops[0], Op("own", "t", (0,), (1,))))
    arena = simulate_planned(by_hand(small, {0: 0, 1: 0}, MIB + 512), small, TrainingRun(small, {}))
    assert arena.allocated == 2 * MIB


@pytest.mark.parametrize("workspace", [0, 8 * MIB])
def test_the_needs_at_a_size_are_those_of_its_plans(workspace: int) -> None:
    graph = replace(chain(3 * MIB, 5 * MIB, 7 * MIB), unlisted_resident_bytes=MIB)
    run = TrainingRun(graph, {"parameter": (MIB,)}, workspace_bytes=workspace)
    profile = Profile(graph=graph, resident={"parameter": MIB}, eager_run=run)
    plans = {0.1: plan_for(profile, 0.1) if graph.can_be_rewritten else make_plan(graph), 0.2: make_plan(graph)}
    plan = make_plan(graph)
    settings = AllocatorSettings.of_environment()
    point = point_at(7, profile, plan, plans)
    assert point == Point(
        7,
        MIB,
        eager_whole_bytes(profile) - MIB,
        plan.arena_bytes,
        least_bytes(run, settings) - MIB,
        {time: one.arena_bytes for time, one in plans.items()},
        {key: reserved_bytes(profile, one) for key, one in {"planned": plan, **plans}.items()},  # type: ignore[dict-item]
        {"planned": 0.0, 0.1: 0.0, 0.2: 0.0},
        {name: roofline_seconds(graph, gpu) for name, gpu in GPUS.items()},  # type: ignore[misc]
    )
    assert eager_least_bytes(profile) == least_bytes(run, settings) - MIB
    assert planned_bytes(profile, plan) == plan.arena_bytes
    held = simulate_planned(plan, graph, run, settings)
    assert reserved_bytes(profile, plan) == held.reserved - MIB
    assert point.seconds.keys() == GPUS.keys()
    assert point_at(7, profile, plan).runs == ("eager", "planned")
    assert point.runs == ("eager", "planned", 0.1, 0.2)


def test_a_run_is_planned_for_the_time_that_it_allows() -> None:
    profile = Profile(graph=blocks(3), environment={"device": "cpu"})
    assert plan_for(profile, "planned") == make_plan(blocks(3), extra_time=0.0, environment={"device": "cpu"})
    assert plan_for(profile, 0.2) == make_plan(blocks(3), extra_time=0.2, environment={"device": "cpu"})


def test_a_points_needs() -> None:
    point = Point(3, 100, 50, 40, None, {0.2: 10, 0.1: 20}, {"planned": 45, 0.1: 25})
    assert point.runs == ("eager", "planned", 0.1, 0.2)
    assert [point.need(run) for run in point.runs] == [150, 140, 120, 110]
    assert [point.least(run) for run in point.runs] == [150, 145, 125, 110]
    assert replace(point, eager_least_bytes=0).least("eager") == 100
