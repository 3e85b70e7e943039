"""What the planner gives its strategies, and what it takes from what they return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from roam_lab.errors import JudgementError, ParameterError
from roam_lab.ir import Graph, Layout, Lifetime, Op, Storage, captured_order
from roam_lab.order.outcome import Outcome
from roam_lab.order.tasks import Task
from roam_lab.plan import make_plan
from roam_lab.plan.planner import lay_out
from roam_lab.registry import Parameter, Strategy
from tests.plan.graphs import pumpkin
from tests.plan.test_planner_whole import replaced

KNOBS = (
    Parameter("node_limit", int, None, "ops a task", low=8),
    Parameter("seed", int, 5, "seed", low=0),
    Parameter("speed", int, 1, "of its own", low=0),
)


def test_a_strategy_is_given_what_it_declares_and_its_own_parameters() -> None:
    given: list[dict[str, Any]] = []

    def order(graph: Graph, **values: Any) -> tuple[int, ...]:
        given.append(values)
        return captured_order(graph)

    for goals, values in (
        ({}, {"node_limit": None, "seed": 0, "speed": 1}),
        ({"node_limit": 9, "seed": 3}, {"node_limit": 9, "seed": 3, "speed": 1}),
        ({"seed": 3, "order_parameters": {"speed": 7, "seed": 4}}, {"node_limit": None, "seed": 4, "speed": 7}),
    ):
        with replaced("order", "list", function=order, parameters=KNOBS):
            make_plan(pumpkin(), order="list", **goals)  # type: ignore[arg-type]
        assert given.pop() == values
    with (
        replaced("order", "list", function=order, parameters=KNOBS),
        pytest.raises(ParameterError, match="order 'list' has no parameter 'close'"),
    ):
        make_plan(pumpkin(), order="list", order_parameters={"close": 1})


def test_what_an_outcome_says_is_in_the_plan() -> None:
    graph = pumpkin()
    best, captured = make_plan(graph, order="list").order, captured_order(graph)
    tree = Task("step", tuple(range(8)), 116)
    for outcome, strategy, tasks, status in (
        (Outcome(best, tasks=tree), "list", tree, "feasible"),
        (Outcome(best, strategy="other", timed_out=True), "other", None, "timed out"),
        (Outcome(best, lower_bound_bytes=116, timed_out=True), "list", None, "optimal"),
        (Outcome(captured, tasks=tree), "list", tree, "feasible"),
    ):
        with replaced("order", "list", function=lambda graph, outcome=outcome: outcome):
            plan = make_plan(graph, order="list")
        assert (plan.order_strategy, plan.tasks, plan.status) == (strategy, tasks, status)
        assert plan.order == outcome.order


def test_a_limit_that_has_passed_is_told() -> None:
    best = make_plan(pumpkin(), order="list").order
    with replaced("order", "list", function=lambda graph: best):
        for limit, status in ((None, "feasible"), (1000.0, "feasible"), (1e-9, "timed out")):
            assert make_plan(pumpkin(), order="list", time_limit=limit).status == status


@pytest.mark.parametrize(
    ("device", "alignment"), [("cpu", 64), ("cuda", 512), ("cuda:1", 512), ("mps", 64), (None, 64)]
)
def test_offsets_are_aligned_as_the_device_does(device: str | None, alignment: int) -> None:
    environment = {} if device is None else {"device": device}
    for plan in (
        make_plan(pumpkin(), order="captured", environment=environment),
        make_plan(replace(pumpkin(), environment=environment), order="captured"),
    ):
        assert min(offset for offset in plan.offsets.values() if offset) == alignment
        assert all(offset % alignment == 0 for offset in plan.offsets.values())
    assert make_plan(pumpkin(), order="captured", environment=environment, alignment=4).arena_bytes == 308


def test_of_equal_arenas_the_lower_peak_is_taken() -> None:
    """With offsets of 512 bytes, both orders take as much; the one asked for has the lower peak."""
    plan = make_plan(pumpkin(), order="list", layout="best_fit", alignment=2**20)
    assert (plan.order_strategy, plan.peak_bytes) == ("list", 116)


def stacking(extra: int, calls: list[list[int]]) -> Strategy:
    """Stacks storages, the last one lowest, and reserves some bytes more."""

    def stack(lives: Sequence[Lifetime]) -> Layout:
        calls.append([life.storage for life in lives])
        offsets, top = {}, 0
        for life in reversed(lives):
            offsets[life.storage], top = top, top + life.bytes
        return Layout(offsets, top + extra)

    return Strategy("layout", "stacking", stack, "Stacks.", "this test")


@pytest.mark.parametrize(("extra", "apart"), [(0, True), (4, True), (6, False)])
def test_on_the_cpu_what_ops_allocate_lies_above_if_that_costs_a_thousandth_at_most(extra: int, apart: bool) -> None:
    """The live peak is 10,008 bytes, and 10 more may be taken; each of two regions takes `extra` more."""
    ops = (Op("large", "t", (), (0,)), Op("own", "t", (0,), (1,), (0,)))
    graph = Graph("apart", (Storage(10_000), Storage(8, region="op")), ops)
    calls: list[list[int]] = []
    placed = lay_out(graph, captured_order(graph), stacking(extra, calls), {}, 1)
    assert calls == ([[0], [1]] if apart else [[0], [1], [0, 1]])
    assert placed.offsets == ({0: 0, 1: 10_000 + extra} if apart else {0: 8, 1: 0})
    assert placed.arena_bytes == 10_008 + (2 * extra if apart else extra)


def test_a_layout_that_breaks_a_rule_is_the_strategys_fault() -> None:
    graph = pumpkin(1)

    def askew(lives: Sequence[Lifetime]) -> Layout:
        return Layout({life.storage: 128 * at + (at == 1) for at, life in enumerate(lives)}, 10**6)

    strategy = Strategy("layout", "askew", askew, "Places by hand.", "this test")
    with pytest.raises(JudgementError) as caught:
        lay_out(graph, captured_order(graph), strategy, {})
    assert str(caught.value) == (
        "layout 'askew' broke a rule: storage 1 at 129 is not aligned to 64 bytes; choose another and tell its author"
    )
    assert lay_out(graph, captured_order(graph), strategy, {}, alignment=1).offsets[1] == 129
