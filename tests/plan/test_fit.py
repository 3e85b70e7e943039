"""Fitting: lines through captured sizes, and the largest batch by trying every one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph, Op, Storage
from roam_lab.ir.training_run import TrainingRun
from roam_lab.plan import Plan, Profile, devices, make_plan
from roam_lab.plan.devices import DEVICES, Device, devices_for, machine_bytes
from roam_lab.plan.fit import FAR, Estimate, Fit, outcome_of
from roam_lab.plan.planned_run import simulate_planned
from roam_lab.plan.runs import RUNS, Point, point_at, reserved_bytes

TEN = Device("ten", 10_000, overhead_bytes=1000)
MIB = 1 << 20


def two_phases(first: int, second: int) -> Graph:
    """A matrix product forward, and one backward after the first result is gone."""
    product = "aten.mm.default"
    return Graph(
        "two",
        (Storage(first), Storage(second, output=True)),
        (
            Op("forward", product, creates=(0,), phase="forward"),
            Op("look", "aten.view.default", after=(0,), reads=(0,), phase="forward"),
            Op("backward", product, after=(1,), creates=(1,), phase="backward"),
        ),
    )


def test_captured_sizes_are_met_exactly() -> None:
    fit = Fit("f", (Point(1, 100, 50, 20), Point(4, 100, 110, 80), Point(8, 100, 300, 120)))
    for point in fit.points:
        for run in RUNS:
            assert fit.need(point.batch, run) == point.need(run)
            assert fit.captured(point.batch)
    assert fit.need(2, "eager") == 100 + 70
    assert fit.need(12, "planned") == 100 + 160
    assert not fit.captured(12)


def test_one_size_alone_scales_what_is_above_resident() -> None:
    fit = Fit("f", (Point(2, 1000, 400, 200),))
    assert [fit.need(batch, "eager") for batch in (1, 2, 4)] == [1200, 1400, 1800]


def test_eager_never_needs_less_than_the_plan_however_its_losses_fall() -> None:
    fit = Fit("gpt2", (Point(16, 1424, 3868, 3788), Point(32, 1424, 7580, 7576)))
    assert all(fit.need(batch, "eager") >= fit.need(batch, "planned") for batch in range(1, 2000))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 9000), st.integers(1, 3000), st.integers(0, 3000), st.integers(2, 9))
def test_the_largest_batch_by_trying(resident: int, first: int, more: int, size: int) -> None:
    fit = Fit("f", (Point(1, resident, first, first // 2), Point(size, resident, first + more, first // 2 + more)))
    for run in RUNS:
        room = TEN.memory_bytes - TEN.overhead_bytes
        largest = fit.largest_batch(TEN, run)
        if largest.size == 0:
            assert fit.need(1, run) > room
            assert not fit.fits(TEN, 1, run)
        elif largest.basis == "at least":
            assert largest.size == size
            assert fit.fits(TEN, FAR * size, run)
        else:
            assert fit.need(largest.size, run) <= room
            assert not fit.fits(TEN, largest.size + 1, run)
            assert (largest.basis == "beyond") == (largest.size >= size)


def test_what_says_how_large() -> None:
    """Needs of 9000 fit."""

    def found(*needs: tuple[int, int]) -> Estimate:
        return Fit("f", tuple(Point(batch, 0, need, need) for batch, need in needs)).largest_batch(TEN, "eager")

    assert found((4, 8000), (5, 9500)) == Estimate(4, "captured")
    assert found((4, 8000), (8, 12_000)) == Estimate(5, "between")
    assert found((1, 1000), (4, 4000)) == Estimate(9, "beyond")
    assert found((1, 100), (4, 400)) == Estimate(4, "at least")
    assert found((1, 100), (4, 100)) == Estimate(4, "at least")
    assert found((4, 12_000), (8, 20_000)) == Estimate(2, "beyond")
    assert found((1, 9500), (8, 20_000)) == Estimate(0, "captured")


def test_plans_that_add_time_never_need_more() -> None:
    points = (
        Point(1, 100, 400, 300, None, {0.05: 200, 0.1: 190}),
        Point(2, 100, 700, 600, None, {0.05: 250, 0.1: 250}),
    )
    fit = Fit("f", points)
    assert fit.runs == ("eager", "planned", 0.05, 0.1)
    assert [fit.need(2, run) for run in fit.runs] == [800, 700, 350, 350]
    assert fit.need(4, 0.1) == fit.need(4, 0.05) == 450  # its own line would be 470
    data = fit.to_data()
    assert [(one["extra_time"], one["bytes"]) for one in data["points"][0]["rewritten"]] == [(0.05, 300), (0.1, 290)]
    assert [one["run"] for one in data["devices"][0]["largest"]] == ["eager", "planned", 0.05, 0.1]
    with pytest.raises(ValueError, match="same extra times"):
        Fit("f", (points[0], Point(2, 1, 1, 1)))


@pytest.mark.parametrize("sizes", [(), (2, 1), (1, 1), (0, 1)])
def test_sizes_must_ascend(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        Fit("f", tuple(Point(size, 1, 1, 1) for size in sizes))


def test_a_batch_fits_where_the_least_does() -> None:
    fit = Fit("f", (Point(1, 1000, 3000, 900, 2000), Point(2, 1000, 6000, 1800, 4000)))
    assert [fit.need(batch, "eager") for batch in (1, 2, 4)] == [4000, 7000, 13_000]
    assert [fit.least(batch, "eager") for batch in (1, 2, 4)] == [3000, 5000, 9000]
    assert [fit.largest_batch(TEN, run).size for run in RUNS] == [4, 8]
    assert fit.fits(TEN, 4, "eager")
    assert not fit.fits(TEN, 5, "eager")
    assert fit.to_data()["points"][1]["eager_least_bytes"] == 5000


def test_a_point_of_a_profile() -> None:
    graph = replace(two_phases(9 * MIB, 11 * MIB), unlisted_resident_bytes=3 * MIB)
    profile = Profile(graph=graph, resident={"parameter": 3 * MIB})
    plan = make_plan(profile.graph)
    point = point_at(3, profile, plan)
    held = profile.reservation()
    assert (point.batch, point.resident_bytes) == (3, 3 * MIB)
    assert point.need("eager") == held.reserved
    assert point.need("planned") == 3 * MIB + plan.arena_bytes
    assert point.least("planned") == simulate_planned(plan, profile.graph, profile.training_run).reserved
    assert held.allocated <= point.least("eager") <= held.reserved


def beside_and_lent(first: int, second: int, place: int = 20 * MIB) -> tuple[Profile, Plan]:
    """A result of the arena's own, one that an op allocates itself, and a small one of another op."""
    own = (Storage(first, region="op"), Storage(second, region="op"))
    storages = (Storage(place), *own, Storage(1, output=True))
    ops = (
        Op("place", "aten.mm.default", creates=(0,), phase="forward"),
        Op("own", "t", after=(0,), creates=(1,), phase="forward"),
        Op("small", "t", after=(1,), creates=(2,), reads=(0,), phase="forward"),
        Op("end", "t", after=(2,), creates=(3,), reads=(1, 2), phase="forward"),
    )
    graph = Graph("beside", storages, ops)
    run = TrainingRun(graph, {"parameter": (3 * MIB, 512)}, workspace_bytes=32 * MIB)
    environment = {"device": "cuda"}
    profile = Profile(graph=graph, resident={"parameter": 3 * MIB + 512}, eager_run=run, environment=environment)
    return profile, make_plan(graph, environment=environment)


@pytest.mark.parametrize(
    ("first", "second", "segments"),
    [
        (40 * MIB, 600, (2, 20, 32, 60)),  # one is lent to the first; the small one lies where small parameters do
        (600, 600, (2, 20, 32, 20)),  # nothing is lent
    ],
)
def test_a_planned_step_reserves_whole_segments(first: int, second: int, segments: tuple[int, ...]) -> None:
    profile, plan = beside_and_lent(first, second)
    held = simulate_planned(plan, profile.graph, profile.training_run)
    assert held.reserved == sum(segments) * MIB
    assert held.workspace == 32 * MIB
    assert plan.arena_bytes <= held.allocated - held.resident - held.workspace <= plan.arena_bytes + 4096
    assert point_at(1, profile, plan).least("planned") == held.reserved


def test_an_arena_of_which_ranges_are_lent_shares_no_segment_with_residents() -> None:
    profile, plan = beside_and_lent(5 * MIB, 600, place=8 * MIB)
    assert 13 * MIB < plan.arena_bytes < 14 * MIB
    held = simulate_planned(plan, profile.graph, profile.training_run)
    assert held.reserved == (2 + 20 + 32 + 14) * MIB  # the parameters' segment of 20 MiB has room for the arena


def test_of_a_bare_plan_the_profile_has_the_graph() -> None:
    profile, plan = beside_and_lent(5 * MIB, 600)
    assert reserved_bytes(profile, replace(plan, graph=None)) == reserved_bytes(profile, plan) > plan.arena_bytes


def test_cublas_has_a_workspace_in_each_thread() -> None:
    graph = two_phases(9 * MIB, 11 * MIB)
    run = TrainingRun(graph, {}, workspace_bytes=32 * MIB)
    point = point_at(1, Profile(graph=graph, eager_run=run), make_plan(graph))
    plain = point_at(1, Profile(graph=graph), make_plan(graph))
    assert point.eager_bytes == plain.eager_bytes + 64 * MIB
    assert point.least("planned") == plain.least("planned") + 32 * MIB
    assert point.need("planned") == plain.need("planned")


def test_data() -> None:
    data = Fit("f", (Point(1, 100, 4000, 2000),), (TEN,)).to_data()
    assert data["points"] == [
        {
            "batch": 1,
            "resident_bytes": 100,
            "eager_bytes": 4100,
            "planned_bytes": 2100,
            "eager_least_bytes": 4100,
            "planned_least_bytes": 2100,
            "planned_added": 0.0,
            "seconds": {},
            "rewritten": [],
        }
    ]
    (device,) = data["devices"]
    assert (device["largest_batch_eager"], device["largest_batch_planned"]) == (2, 4)
    assert device["largest"][1] == {"run": "planned", "batch": 4, "basis": "beyond"}


def test_a_gpu_has_rates_or_a_price() -> None:
    assert not TEN.is_gpu
    assert Device("own", 1, rates="a100").is_gpu
    assert Device("own", 1, price_per_hour=0.0).is_gpu
    assert all(device.is_gpu for device in DEVICES)
    assert TEN.room_bytes == 9000
    assert Device("small", 5, overhead_bytes=7).room_bytes == -2


def test_devices_leave_room() -> None:
    assert all(0 < device.room_bytes < device.memory_bytes for device in DEVICES)


def test_the_machine_counts_for_a_step_on_its_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine_bytes()
    assert here is not None
    assert devices_for("cpu")[1:] == devices_for("cuda:0") == DEVICES
    assert devices_for("cpu")[0].memory_bytes == here
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(devices, "_LIMITS", (tmp_path / "none", limit))
    for text, size in (("max", None), (str(here // 2), here // 2), (str(10 * here), None)):
        limit.write_text(text)
        assert machine_bytes() == (size or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    monkeypatch.delattr(os, "sysconf")
    assert machine_bytes() is None
    assert devices_for("cpu") == DEVICES


def test_a_step_that_leaves_little_free_barely_fits() -> None:
    """5 % of 10,000 bytes are the margin."""
    found = [outcome_of(TEN, spare) for spare in (500, 499, 0, -1)]
    assert found == ["fits", "barely fits", "barely fits", "too large"]


def test_step_times_lie_on_lines_like_needs() -> None:
    device = Device("GPU", 10_000, rates="a100")
    points = tuple(
        Point(batch, 0, 1, 1, None, {0.1: 1}, {}, {0.1: added}, {"a100": seconds})
        for batch, seconds, added in ((2, 3.0, 0.07), (4, 4.0, 0.09))
    )
    fit = Fit("f", points, (device,))
    assert [fit.seconds(batch, device) for batch in (2, 3, 4, 6)] == [3.0, 3.5, 4.0, 5.0]
    assert fit.seconds(2, TEN) is None
    assert Fit("f", points[:1]).seconds(4, device) == 6.0
    assert Fit("f", (points[0], Point(4, 0, 1, 1, None, {0.1: 1}))).seconds(3, device) is None
    assert [fit.added(batch, 0.1) for batch in (1, 4, 9)] == [0.07, 0.09, 0.09]
    assert fit.added(2, "planned") == 0.0
    assert [fit.basis(batch) for batch in (1, 2, 3, 4, 5)] == ["beyond", "captured", "between", "captured", "beyond"]
