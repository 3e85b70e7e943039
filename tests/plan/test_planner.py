"""make_plan: judged, never worse than captured, the same twice, and clear about what it cannot do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.errors import InfeasibleError, JudgementError, ParameterError, UnknownStrategyError
from roam_lab.ir import (
    Graph,
    Layout,
    Op,
    Storage,
    captured_order,
    check_layout,
    check_order,
    lifetimes,
    live_peak,
    load_graph,
)
from roam_lab.plan import Plan, Profile, make_plan
from roam_lab.plan.planner import lay_out
from roam_lab.registry import Strategy, find, strategies
from tests.order.search.graphs import narrow_graph
from tests.plan.graphs import SMALL, best_peak, pumpkin, random_graph
from tests.plan.training_step import training_step


def judge(graph: Graph, plan: Plan) -> None:
    check_order(graph, plan.order)
    check_layout(lifetimes(graph, plan.order), Layout(plan.offsets, plan.arena_bytes))
    assert plan.peak_bytes == live_peak(graph, plan.order).bytes
    assert plan.captured_peak_bytes == live_peak(graph, captured_order(graph)).bytes
    assert plan.lower_bound_bytes <= plan.peak_bytes <= min(plan.captured_peak_bytes, plan.arena_bytes)
    assert plan.optimal == (plan.peak_bytes == plan.lower_bound_bytes) == (plan.status == "optimal")
    assert plan.gap == 0 if plan.optimal else plan.gap > 0


PAIRS = [(order.name, layout.name) for order in strategies("order") for layout in strategies("layout")]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("name", SMALL)
def test_every_pair_of_strategies_is_judged(pair: tuple[str, str], name: str) -> None:
    plan = make_plan(SMALL[name], order=pair[0], layout=pair[1])
    judge(SMALL[name], plan)
    assert plan.layout_strategy == pair[1]
    assert all(offset % 64 == 0 for offset in plan.offsets.values())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), external=st.booleans())
def test_random_graphs(seed: int, external: bool) -> None:
    graph = random_graph(seed, external=external)
    plan = make_plan(graph)
    judge(graph, plan)
    assert plan.lower_bound_bytes <= best_peak(graph)
    assert plan == make_plan(graph)


def test_external_storages_lie_in_the_arena_on_the_cpu_and_beside_it_on_cuda() -> None:
    mixed = shared = 0
    for seed in range(40):
        graph = random_graph(seed, external=True)
        sizes = {index: storage.bytes for index, storage in enumerate(graph.storages) if storage.bytes}
        for device in ("cpu", "cuda"):
            plan = make_plan(graph, environment={"device": device})
            tops = [plan.offsets[s] + sizes[s] for s in plan.offsets if not graph.storages[s].external and s in sizes]
            bottoms = [plan.offsets[s] for s in plan.offsets if graph.storages[s].external and s in sizes]
            if tops and bottoms and device == "cuda":
                assert max(tops) <= min(bottoms)
                mixed += 1
            shared += bool(tops and bottoms and device == "cpu" and max(tops) > min(bottoms))
    assert mixed > 10
    assert shared > 10


@pytest.mark.parametrize("kept", [True, False])
def test_what_ops_allocate_lies_apart_on_the_cpu_where_that_costs_nothing(kept: bool) -> None:
    """Above the rest while both are at their peak together; where the rest peaks without it, in one region."""
    large, own = 640_000, 64_000
    ops = (
        Op("first", "op", creates=(0,)),
        Op("own", "op", after=(0,), creates=(1,), reads=(0,)),
        Op("second", "op", after=(1,), creates=(2,), reads=(0,) if kept else (1,)),
        Op("last", "op", after=(2,), creates=(3,), reads=(1, 2) if kept else (2,)),
    )
    sizes = (Storage(own), Storage(own, region="op"), Storage(large), Storage(own, output=True))
    graph = Graph(name="apart", ops=ops, storages=sizes)
    plan = make_plan(graph)
    assert plan.arena_bytes == plan.peak_bytes
    assert (plan.offsets[1] >= own + large) == kept


@pytest.mark.parametrize("alignment", [1, 64, 512])
def test_offsets_are_aligned(alignment: int) -> None:
    plan = make_plan(training_step(2, unit=1000), alignment=alignment)
    assert all(offset % alignment == 0 for offset in plan.offsets.values())
    assert plan.arena_bytes < 1.3 * plan.peak_bytes


def test_an_unaligned_layout_is_refused() -> None:
    askew = Strategy("layout", "askew", lambda lives: Layout({life.storage: 1 for life in lives}, 10**6), "", "")
    with pytest.raises(JudgementError, match="not aligned to 64 bytes"):
        lay_out(pumpkin(0), (0, 1), askew, {})


def test_a_strategy_that_breaks_a_rule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    object.__setattr__(find("order", "list"), "function", lambda graph: tuple(range(len(graph.ops)))[::-1])
    try:
        with pytest.raises(JudgementError, match="which it must follow"):
            make_plan(pumpkin(), order="list")
    finally:
        from roam_lab.order.list_scheduling import list_scheduling

        object.__setattr__(find("order", "list"), "function", list_scheduling)
    judge(pumpkin(), make_plan(pumpkin(), order="list"))


@pytest.mark.parametrize(
    ("arguments", "wording"),
    [
        ({"node_limit": 7}, "node_limit is 7, outside its range 8 to 1024"),
        ({"node_limit": 1025}, "node_limit is 1025, outside its range 8 to 1024"),
        ({"node_limit": 9.5}, "node_limit is 9.5, outside"),
        ({"time_limit": 0}, "time_limit is 0; give a number of seconds above 0"),
        ({"time_limit": float("nan")}, "time_limit is nan"),
        ({"time_limit": "1"}, "time_limit is '1'"),
        ({"alignment": 0}, "alignment is 0"),
        ({"budget": -1}, "budget is -1"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"order_parameters": {"speed": 3}}, "order 'auto' has no parameter 'speed'"),
    ],
)
def test_parameters_out_of_range(arguments: dict[str, Any], wording: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_plan(pumpkin(), **arguments)
    assert wording in str(caught.value)


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(UnknownStrategyError, match="no order strategy 'lsit'; did you mean 'list'"):
        make_plan(pumpkin(), order="lsit")


def test_a_budget_too_small_says_the_least_known() -> None:
    plan = make_plan(pumpkin())
    assert make_plan(pumpkin(), budget=plan.arena_bytes) == plan
    with pytest.raises(InfeasibleError) as caught:
        make_plan(pumpkin(), budget=plan.arena_bytes - 1)
    for wording in ("pumpkin", f"{plan.arena_bytes - 1} bytes are too few", f"{plan.arena_bytes} bytes"):
        assert wording in str(caught.value)
    assert f"no order needs less than {plan.lower_bound_bytes}" in str(caught.value)
    assert caught.value.exit_status == 1


def test_progress_is_told_from_start_to_end() -> None:
    heard: list[tuple[str, float]] = []
    make_plan(pumpkin(), progress=lambda stage, fraction: heard.append((stage, fraction)))
    fractions = [fraction for _, fraction in heard]
    assert fractions == sorted(fractions)
    assert heard[0] == ("order: auto", 0.0)
    assert heard[-1] == ("done", 1.0)


def test_a_search_that_proves_more_than_the_cut_is_the_certificate() -> None:
    graph = narrow_graph(1)
    plan = make_plan(graph, order="exact")
    assert plan.optimal
    assert plan.certificate is not None
    assert plan.certificate.kind == "search"
    held = sum(graph.storages[storage].bytes for storage in plan.certificate.storages)
    assert held == plan.certificate.bytes == plan.peak_bytes == plan.lower_bound_bytes
    with_cut = make_plan(graph, order="captured").certificate
    assert with_cut is not None
    assert with_cut.kind != "search"


def test_the_time_limit_ends_the_search_with_the_best_found() -> None:
    graph = training_step(60)
    plan = make_plan(graph, time_limit=1e-6)
    judge(graph, plan)
    assert plan.status in ("timed out", "optimal")


def test_a_graph_captured_on_cuda_is_laid_out_as_cuda_aligns() -> None:
    graph = replace(training_step(2), environment={"device": "cuda:0"})
    assert all(offset % 512 == 0 for offset in make_plan(graph).offsets.values())
    assert any(offset % 512 for offset in make_plan(training_step(2)).offsets.values())


def test_a_profile_plans_and_saves(tmp_path: Any) -> None:
    profile = Profile(graph=training_step(2), resident={"parameters": 10, "batch": 5}, environment={"device": "cpu"})
    assert profile.resident_bytes == 15
    assert max(profile.captured_curve) == profile.captured_peak_bytes
    plan = profile.plan(layout="best_fit")
    assert plan.environment["device"] == "cpu"
    assert plan.captured_peak_bytes == profile.captured_peak_bytes
    profile.save(tmp_path / "g.json.gz")
    again = make_plan(load_graph(tmp_path / "g.json.gz"), layout="best_fit")
    assert again == plan
    assert make_plan(load_graph(tmp_path / "g.json.gz"), environment={}).environment.keys() == {"python"}
    assert repr(profile) == (
        "Profile('training_step_2': 99 ops, whole step 4.1 MiB, eager, predicted; "
        "resident MiB: parameters 0.0, batch 0.0; not measured)"
    )
