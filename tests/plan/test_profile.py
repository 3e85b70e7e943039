"""A profile: what eager needs by its own graph and by the planned one, its line, and the plan that it makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from roam_lab.ir import captured_order, live_curve, live_peak, load_graph
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import simulate
from roam_lab.plan import Profile, make_plan
from roam_lab.plan.whole_step import eager_whole_bytes
from tests.plan.graphs import pumpkin, two_halves

MIB = 2**20
SCALED = replace(pumpkin(), storages=tuple(replace(one, bytes=one.bytes * MIB) for one in pumpkin().storages))


def test_the_curve_and_the_peak_are_those_of_the_eager_graph_where_it_is_known() -> None:
    alone = Profile(graph=pumpkin())
    assert alone.captured_curve == tuple(live_curve(pumpkin(), captured_order(pumpkin())))
    assert alone.captured_peak_bytes == alone.eager_bytes == 308
    both = Profile(graph=pumpkin(), eager_graph=two_halves())
    assert both.captured_curve == tuple(live_curve(two_halves(), captured_order(two_halves())))
    assert both.captured_peak_bytes == live_peak(two_halves(), captured_order(two_halves())).bytes == 140
    assert both.eager_bytes == 308  # the planned graph counts workspaces, too
    assert Profile(graph=two_halves(), eager_graph=pumpkin()).eager_bytes == 308


def test_what_is_resident_is_one_storage_a_kind_unless_more_is_known() -> None:
    profile = Profile(graph=SCALED, resident={"parameters": 5 * MIB, "batch": 300})
    assert profile.resident_bytes == 5 * MIB + 300
    assert profile.training_run == TrainingRun(SCALED, {"parameters": (5 * MIB,), "batch": (300,)})
    eager = replace(profile, eager_graph=two_halves())
    assert eager.training_run.graph == two_halves()
    known = TrainingRun(SCALED, {"parameters": (MIB, 4 * MIB), "batch": (300,)}, workspace_bytes=MIB)
    assert replace(profile, eager_run=known).training_run is known


def test_reservations_are_simulated_with_the_users_settings_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = Profile(graph=SCALED, resident={"parameters": 5 * MIB})
    for text in ("", "expandable_segments:True", "roundup_power2_divisions:1"):
        monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", text)
        settings = AllocatorSettings.of_environment()
        assert profile.reservation() == simulate(profile.training_run, settings)
        assert profile.reservation() is profile.reservation(settings)
        assert eager_whole_bytes(profile) == profile.reservation().reserved
    whole = replace(SCALED, unlisted_resident_bytes=5 * MIB)
    assert eager_whole_bytes(whole) == simulate(
        TrainingRun(whole, {"resident": (5 * MIB,)}), AllocatorSettings.of_environment()
    ).reserved  # fmt: skip


def test_its_line_says_what_was_measured() -> None:
    profile = Profile(graph=SCALED)
    assert repr(profile) == (
        "Profile('pumpkin': 8 ops, whole step 308.0 MiB, eager, predicted; resident MiB: none; not measured)"
    )
    held = replace(profile, resident={"parameters": 5 * MIB, "batch": MIB // 2})
    assert "whole step 313.5 MiB, eager, predicted; resident MiB: parameters 5.0, batch 0.5; not" in repr(held)


def test_its_plan_is_that_of_its_graph_and_what_it_was_captured_with(tmp_path: Path) -> None:
    profile = Profile(graph=pumpkin(), environment={"device": "cuda", "torch": "2.13"})
    assert profile.plan() == make_plan(pumpkin(), environment=profile.environment)
    goals = {"order": "list", "layout": "best_fit", "node_limit": 64, "time_limit": 100.0, "seed": 7}
    plan = profile.plan(**goals, alignment=4)  # type: ignore[arg-type]
    assert plan == make_plan(pumpkin(), environment=profile.environment, alignment=4, **goals)  # type: ignore[arg-type]
    assert (plan.order_strategy, plan.layout_strategy, plan.seed) == ("list", "best_fit", 7)
    assert profile.plan(environment={"device": "cpu"}).environment["device"] == "cpu"
    profile.save(tmp_path / "g.json")
    assert load_graph(tmp_path / "g.json") == replace(pumpkin(), environment=profile.environment)
