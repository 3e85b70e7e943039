"""Plans made in a process of their own are those that this process makes."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from roam_lab.ir import Graph, Op, Storage
from roam_lab.ir.graph import Device
from roam_lab.plan import apart, make_plan
from roam_lab.plan.apart import CLOSE_ENOUGH, LEAST_BYTES, goals_of, plan_apart
from tests.rewrite.graphs import blocks

ENVIRONMENT = {"device": "cuda", "torch": "2.13.0"}


def steps(size):
    """Two branches of two ops each, and one that joins them."""
    storages = tuple(Storage(size * weight) for weight in (4, 1, 5, 2, 1))
    ops = (
        Op("a", "t", creates=(0,)),
        Op("b", "t", (0,), (1,), (0,)),
        Op("c", "t", creates=(2,)),
        Op("d", "t", (2,), (3,), (2,)),
        Op("e", "t", (1, 3), (4,), (1, 3)),
    )
    return Graph("branches", storages, ops)


@pytest.fixture
def started(monkeypatch):
    """The commands of the processes that were started."""
    found, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: found.append(command) or popen(command, **more))
    return found


def test_a_large_step_is_planned_by_another_process(started):
    graph = steps(LEAST_BYTES)
    plan = plan_apart(graph, seed=3, environment=ENVIRONMENT)
    assert len(started) == 1
    assert plan == make_plan(graph, seed=3, environment=ENVIRONMENT)
    assert plan.graph is graph
    assert plan.environment.items() >= ENVIRONMENT.items()


def test_a_small_step_is_planned_here(started):
    graph = steps(64)
    assert plan_apart(graph, seed=0, environment={}) == make_plan(graph, environment={})
    assert started == []


def test_a_small_step_spends_little_on_its_last_bytes(monkeypatch):
    seen = []
    monkeypatch.setattr(apart, "make_plan", lambda graph, **goals: seen.append(goals.get("layout_parameters")))
    plan_apart(steps(64), environment={})
    plan_apart(steps(64), environment={}, layout_parameters={"close": 0.0})
    plan_apart(steps(64), environment={}, layout="best_fit")  # which may have no such parameter
    monkeypatch.setattr(apart, "_by_child", lambda graph, goals: None)
    plan_apart(steps(LEAST_BYTES), environment={})
    assert seen == [{"close": CLOSE_ENOUGH}, {"close": 0.0}, None, None]


def test_a_plan_of_another_step_has_the_kinds_and_the_time_of_the_first(started):
    graph = replace(blocks(6), device=Device(1e12, 1e12, 0.0, 10**6, host_bytes_per_s=100e6))
    graph = replace(graph, storages=tuple(replace(one, bytes=one.bytes * 2**18) for one in graph.storages))
    first = make_plan(graph, extra_time=0.1)
    goals = goals_of(first)
    assert goals == {"seed": 0, "rewrites": ["recompute"], "extra_time": first.extra_time}
    plan = plan_apart(graph, environment=ENVIRONMENT, **goals)
    assert sum("apart_child" in str(command) for command in started) == 1
    assert (plan.rewritten, plan.extra_time) == (first.rewritten, first.extra_time)
    assert goals_of(make_plan(graph, seed=2, rewrites=())) == {"seed": 2, "rewrites": []}


@pytest.mark.parametrize("python", [None, "/nowhere/python", "/bin/false"])
def test_where_no_process_can_be_had_this_one_plans(monkeypatch, python):
    if python == "/bin/false" and not os.path.exists(python):
        pytest.skip("there is no /bin/false here")
    monkeypatch.setattr(sys, "executable", python)
    graph = steps(LEAST_BYTES)
    assert plan_apart(graph, seed=0, environment={}) == make_plan(graph, environment={})


def test_the_process_ends_with_an_interrupt(monkeypatch, tmp_path):
    ended = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout=None):
            if not ended:
                ended.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        apart.plan_apart(steps(LEAST_BYTES), seed=0, environment={})
    assert ended[0].wait(10) == -9
