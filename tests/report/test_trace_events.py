"""The Chrome trace: valid by the format's own rules, and true to the plan."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from roam_lab.ir import captured_order, live_peak
from roam_lab.plan import Plan, make_plan
from roam_lab.report.trace_events import CAPTURED, PLANNED, trace_events
from tests.plan.graphs import SMALL
from tests.plan.training_step import training_step

REQUIRED = {"X": {"name", "cat", "ph", "ts", "dur", "pid", "tid"}, "C": {"name", "ph", "ts", "pid", "args"},
            "M": {"name", "ph", "pid", "args"}}  # fmt: skip
"""Keys that the Trace Event Format demands of complete, counter and metadata events."""


def check_format(data: dict[str, Any]) -> None:
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    clock: dict[tuple[int, int], float] = {}
    for event in data["traceEvents"]:
        assert REQUIRED[event["ph"]] <= event.keys()
        if event["ph"] == "C":
            assert all(isinstance(value, int) and value >= 0 for value in event["args"].values())
        if event["ph"] == "X":
            track = event["pid"], event["tid"]
            assert event["dur"] >= 0
            assert event["ts"] >= clock.get(track, 0) - 1e-3, "slices of one thread overlap"
            clock[track] = event["ts"] + event["dur"]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(training_step(4))


@pytest.mark.parametrize("name", SMALL)
def test_the_format(name: str) -> None:
    check_format(trace_events(make_plan(SMALL[name])))


def test_slices_and_counters_are_the_plan(plan: Plan) -> None:
    data = trace_events(plan)
    check_format(data)
    graph = plan.graph
    assert graph is not None
    for process, order in ((PLANNED, plan.order), (CAPTURED, captured_order(graph))):
        events = [event for event in data["traceEvents"] if event["pid"] == process]
        assert [event["args"].get("op", 0) for event in events if event["ph"] == "X"] == list(order)
        counted = [event["args"]["live"] for event in events if event["ph"] == "C"]
        assert max(counted) == live_peak(graph, order).bytes
        assert counted[-1] == 0


def test_measured_times_are_used(plan: Plan) -> None:
    graph = plan.graph
    assert graph is not None
    timed = replace(graph, ops=tuple(replace(op, time_us=2.5) for op in graph.ops))
    data = trace_events(replace(plan, graph=timed))
    check_format(data)
    assert {event["dur"] for event in data["traceEvents"] if event["ph"] == "X"} == {2.5}
    assert "measured" in data["otherData"]["time"]
    assert "not timed" in trace_events(plan)["otherData"]["time"]
