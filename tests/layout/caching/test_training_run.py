"""Whole runs on the simulated allocator: what is made when, and with how little they run."""

from __future__ import annotations

import pytest

from roam_lab.ir import Graph, Op, Storage
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.allocator import DeviceFullError
from roam_lab.layout.caching.settings import MIB, AllocatorSettings
from roam_lab.layout.caching.training_run import least_bytes, simulate


def step() -> Graph:
    """Forward makes an activation of 12 MiB, backward a gradient of 14, the update a temporary of 16 MiB."""
    return Graph(
        "step",
        (
            Storage(12 * MIB, kind="activation"),
            Storage(14 * MIB, kind="gradient"),
            Storage(16 * MIB, kind="temporary"),
        ),
        (
            Op("product", "aten.mm.default", creates=(0,), phase="forward"),
            Op("gradient", "aten.mm.default", after=(0,), creates=(1,), reads=(0,), phase="backward"),
            Op("root", "aten.sqrt.default", after=(1,), creates=(2,), reads=(1,), phase="update"),
            Op("write", "aten.copy_.default", after=(2,), reads=(2,), phase="update"),
        ),
    )


def test_an_empty_run() -> None:
    held = simulate(TrainingRun(Graph("none", (), ())))
    assert (held.allocated, held.reserved, held.above_resident) == (0, 0, 0)


def test_gradients_stay_to_the_end() -> None:
    # 12 are free when 16 are asked for, the gradient's 14 are not, though no op looks at it any more
    assert simulate(TrainingRun(step())).reserved == (12 + 14 + 16) * MIB
    assert simulate(TrainingRun(step())).allocated == (14 + 16) * MIB


def test_residents_are_there_before_and_the_state_is_made_by_the_first_update() -> None:
    run = TrainingRun(step(), {"state": (12 * MIB, 13 * MIB), "parameter": (14 * MIB, 0)})
    first, later = simulate(run, steps=1), simulate(run)
    # the state of 12 MiB is put where the activation was; the second activation takes the gradient's place, that the
    # temporary's, and for the temporary nothing is left
    assert first.reserved == (14 + 12 + 14 + 14 + 16) * MIB
    assert later.reserved == first.reserved + 16 * MIB
    assert simulate(run, steps=5) == later
    assert later.resident == (12 + 13 + 14) * MIB
    assert later.above_resident == later.reserved - later.resident


def test_each_thread_has_a_workspace() -> None:
    run = TrainingRun(step(), workspace_bytes=32 * MIB)
    assert run.workspaces == {0: 32 * MIB, 1: 32 * MIB}
    held = simulate(run)
    assert held.workspace == 64 * MIB
    assert held.above_resident == simulate(TrainingRun(step())).reserved


def test_an_op_takes_something_for_itself() -> None:
    run = TrainingRun(step(), temporaries={0: 30 * MIB})
    assert simulate(run).allocated == (12 + 30) * MIB
    assert simulate(run).reserved == (12 + 30) * MIB  # later split for gradient and temporary


def test_under_a_limit() -> None:
    run = TrainingRun(step())
    assert simulate(run, limit_bytes=32 * MIB).reserved == 32 * MIB  # the activation's segment is given back
    assert simulate(run, limit_bytes=30 * MIB, steps=1).reserved == 30 * MIB
    with pytest.raises(DeviceFullError):  # the second gradient lies in the first temporary's 16 MiB
        simulate(run, limit_bytes=30 * MIB)
    assert 32 * MIB <= least_bytes(run) <= 34 * MIB


def test_the_least_runs() -> None:
    run = TrainingRun(step(), {"parameter": (3 * MIB, 5), "state": (6 * MIB,)}, {1: 9 * MIB}, 8 * MIB)
    for settings in (AllocatorSettings(), AllocatorSettings(max_split_bytes=20 * MIB)):
        least = least_bytes(run, settings)
        assert simulate(run, settings, least).reserved <= least
        assert simulate(run, settings).allocated <= least <= simulate(run, settings).reserved


def test_settings_are_followed() -> None:
    assert simulate(TrainingRun(step()), AllocatorSettings(expandable=True)).reserved == 60 * MIB
