"""make_plan, whole: every field of a plan, every stage, whole sentences, and what strategies are given."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from roam_lab.errors import InfeasibleError, ParameterError
from roam_lab.ir import Graph, Layout, captured_order, fingerprint
from roam_lab.order.bound import lower_bound
from roam_lab.order.outcome import Outcome
from roam_lab.plan import make_plan
from roam_lab.plan.planner import LEAST_SECONDS
from roam_lab.registry import Parameter, find
from tests.plan.graphs import pumpkin
from tests.plan.training_step import training_step
from tests.rewrite.graphs import blocks


def test_stages_are_told_in_this_sequence() -> None:
    for graph, goals, more in (
        (pumpkin(), {"order": "list"}, []),
        (blocks(2), {"order": "list"}, []),
        (blocks(2), {"order": "list", "extra_time": 0.1}, [("rewrite: auto", 0.95)]),
        (blocks(2), {}, [("rewrite: auto", 0.95)]),
        (blocks(2), {"rewrites": ()}, []),
        (blocks(2), {"rewrite": "none"}, []),
        (Graph("empty", (), ()), {}, []),
    ):
        heard: list[tuple[str, float]] = []
        make_plan(graph, progress=lambda *one: heard.append(one), **goals)  # type: ignore[arg-type]  # noqa: B023
        first = f"order: {goals.get('order', 'auto')}"  # type: ignore[attr-defined]
        assert heard == [(first, 0.0), ("layout: auto", 0.6), ("bound", 0.9), *more, ("done", 1.0)]


@pytest.mark.parametrize(
    ("graph", "end"),
    [
        (pumpkin(), "raise the budget"),
        (
            replace(pumpkin(), ops=tuple(replace(op, pure=False) for op in pumpkin().ops)),
            "raise the budget or allow rewrites",
        ),
    ],
)
def test_a_budget_that_no_order_meets_in_a_whole_sentence(graph: Graph, end: str) -> None:
    held = replace(graph, unlisted_resident_bytes=1000)
    with pytest.raises(InfeasibleError) as caught:
        make_plan(held, budget=1259, rewrites=(), order="list")
    assert str(caught.value) == (
        "pumpkin: 1259 bytes are too few for the whole step: the least known to do is 1260 bytes (1000 of them "
        f"resident), and no order needs less than 1112; {end}"
    )
    assert make_plan(held, budget=1260, rewrites=(), order="list").arena_bytes == 260


def test_every_field_of_a_plan() -> None:
    graph = replace(pumpkin(), eager_peak_bytes=321, environment={"device": "cpu", "torch": "2"})
    plan = make_plan(graph, order="list", layout="best_fit", seed=9)
    assert plan.graph is graph
    assert plan.graph_sha256 == fingerprint(graph)
    assert (plan.order_strategy, plan.layout_strategy, plan.seed) == ("list", "best_fit", 9)
    assert plan.environment == {"python": platform.python_version(), "device": "cpu", "torch": "2"}
    assert make_plan(graph, environment={"gpu": "x"}).environment == {"python": platform.python_version(), "gpu": "x"}
    assert (plan.captured_peak_bytes, plan.eager_peak_bytes) == (308, 321)
    assert plan.certificate == lower_bound(graph, plan.order)
    assert plan.lower_bound_bytes == plan.certificate.bytes
    assert (plan.status, plan.optimal, plan.tasks) == ("feasible", False, None)
    assert (plan.rewrites, plan.origins, plan.rewrite_strategy, plan.extra_time) == ((), (), "none", 0.0)
    assert plan.seconds > 0
    assert make_plan(Graph("empty", (), ())).certificate is None
    assert make_plan(pumpkin(), order="roam").order_strategy == "roam"
    assert make_plan(training_step(3), order="roam").tasks is not None


@contextmanager
def replaced(room: str, name: str, **attributes: Any) -> Iterator[None]:
    """A strategy of the registry with other attributes meanwhile."""
    strategy = find(room, name)  # type: ignore[arg-type]
    own = {attribute: getattr(strategy, attribute) for attribute in attributes}
    try:
        for attribute, value in attributes.items():
            object.__setattr__(strategy, attribute, value)
        yield
    finally:
        for attribute, value in own.items():
            object.__setattr__(strategy, attribute, value)


def test_an_order_that_is_worse_than_captured_is_not_taken() -> None:
    """The ops stand in the best order; the strategy gives the one with every hill first."""
    graph = pumpkin()
    best = make_plan(graph, order="list").order
    place = {old: new for new, old in enumerate(best)}
    ops = tuple(
        replace(graph.ops[old], after=tuple(sorted(place[one] for one in graph.ops[old].after))) for old in best
    )
    with replaced("order", "list", function=lambda graph: tuple(place[old] for old in range(len(ops)))):
        plan = make_plan(replace(graph, ops=ops), order="list")
        assert (plan.order_strategy, plan.peak_bytes, plan.captured_peak_bytes) == ("captured", 116, 116)
    with replaced("order", "list", function=captured_order):
        assert make_plan(graph, order="list").order_strategy == "list"


def test_the_layout_has_what_the_order_left_and_half_a_second_at_least() -> None:
    given: list[float | None] = []
    own = find("layout", "best_fit").function

    def listening(lives: Any, time_limit: float | None = None) -> Layout:
        given.append(time_limit)
        placed: Layout = own(lives)
        return placed

    parameters = (Parameter("time_limit", float, None, "seconds", low=0),)
    with replaced("layout", "best_fit", function=listening, parameters=parameters):
        for limit in (None, 1e-6, 1000.0):
            make_plan(pumpkin(), order="captured", layout="best_fit", time_limit=limit)
    none, least, most = given
    assert (none, least) == (None, LEAST_SECONDS)
    assert most is not None
    assert 900 < most < 1000


def test_wrong_parameters_of_the_layout_are_refused_before_an_order_is_looked_for() -> None:
    def never(graph: Graph) -> Any:
        raise AssertionError("the order ran")

    with (
        replaced("order", "list", function=never),
        pytest.raises(ParameterError, match="layout 'auto' has no parameter 'speed'"),
    ):
        make_plan(pumpkin(), order="list", layout_parameters={"speed": 3})


def test_a_search_that_was_not_finished_is_no_proof() -> None:
    """A bound of a strategy proves a plan only where the plan's peak meets it."""
    graph = pumpkin()
    best = make_plan(graph)
    assert best.peak_bytes == 116
    for bound, kind, proven in ((116, "search", 116), (115, "minimum cut", 112), (0, "minimum cut", 112)):
        outcome = Outcome(best.order, lower_bound_bytes=bound)
        with replaced("order", "list", function=lambda graph, outcome=outcome: outcome):
            plan = make_plan(graph, order="list")
        assert plan.certificate is not None
        assert (plan.certificate.kind, plan.certificate.bytes) == (kind, proven)
        assert (plan.lower_bound_bytes, plan.optimal) == (proven, kind == "search")
