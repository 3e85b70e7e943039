"""The memory_viz snapshot, read by torch's own tools and replayed by hand."""

from __future__ import annotations

import pickle

import pytest

from roam_lab.errors import InputError
from roam_lab.ir import live_peak
from roam_lab.plan import Plan, make_plan
from roam_lab.report.memory_viz import BASE_ADDRESS, memory_viz, memory_viz_pickle
from tests.plan.graphs import SMALL, empty
from tests.plan.training_step import training_step


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(training_step(4))


def test_the_trace_replays_to_the_plan(plan: Plan) -> None:
    graph = plan.graph
    assert graph is not None
    alive: dict[int, int] = {}
    most = 0
    for event in memory_viz(plan)["device_traces"][0]:
        address = event["addr"]
        if event["action"] == "alloc":
            assert all(address + event["size"] <= low or low + size <= address for low, size in alive.items())
            assert BASE_ADDRESS <= address <= BASE_ADDRESS + plan.arena_bytes - event["size"]
            alive[address] = event["size"]
        elif event["action"] == "free_completed":
            assert alive.pop(address) == event["size"]
        most = max(most, sum(alive.values()))
    assert most == live_peak(graph, plan.order).bytes == plan.peak_bytes
    assert sum(alive.values()) == sum(storage.bytes for storage in graph.storages if storage.output)


def test_times_never_fall(plan: Plan) -> None:
    times = [event["time_us"] for event in memory_viz(plan)["device_traces"][0]]
    assert times == sorted(times)
    assert times[-1] <= len(plan.order)


def test_the_blocks_fill_the_segment(plan: Plan) -> None:
    (segment,) = memory_viz(plan)["segments"]
    assert sum(block["size"] for block in segment["blocks"]) == segment["total_size"] == plan.arena_bytes


def test_torch_reads_it(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    viz = pytest.importorskip("torch.cuda._memory_viz", reason="this torch has no memory_viz")
    snapshot = pickle.loads(memory_viz_pickle(plan))
    page = viz.trace_plot(snapshot)
    assert "snapshot.pickle" in page
    assert len(viz.segsum(snapshot)) > 0
    assert "alloc" in viz.trace(snapshot)


@pytest.mark.parametrize("name", SMALL)
def test_any_graph(name: str) -> None:
    snapshot = memory_viz(make_plan(SMALL[name]))
    allocated = [event for event in snapshot["device_traces"][0] if event["action"] == "alloc"]
    assert len(allocated) == sum(storage.bytes > 0 for storage in SMALL[name].storages)


def test_a_plan_without_ops_and_a_bare_one() -> None:
    assert memory_viz(make_plan(empty())) == {"segments": [], "device_traces": [[]], "allocator_settings": {}}
    from dataclasses import replace

    with pytest.raises(InputError, match="bare"):
        memory_viz(replace(make_plan(SMALL["pumpkin"]), graph=None))
