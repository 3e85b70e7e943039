"""Memory over time: curves and stack agree with the one live curve, sampling loses no spike, axes fold the empty."""

import numpy as np
import pytest

from roam_lab.errors import InputError
from roam_lab.ir import Graph, Op, Storage, captured_order, live_curve
from roam_lab.ir.measured import MeasuredCurve
from roam_lab.plan import Profile, make_plan
from roam_lab.report.units import bytes_text
from roam_lab.report.views.axis import CLOCKS, axis, clocks_of, ticks
from roam_lab.report.views.curves import BUCKETS, sampled
from roam_lab.report.views.memory import kind_curves, memory_view, profile_memory_view
from tests.plan.graphs import empty, random_graph
from tests.report.graphs import branches, chain, eager_branches
from tests.report.views.graphs import KIB, bare_of_places, blocks, scalars, stacked_plan


@pytest.mark.parametrize("graph", [branches(), blocks(5), bare_of_places(blocks(5)), random_graph(3, 20)])
def test_kinds_add_up_to_the_live_curve(graph):
    order = captured_order(graph)
    layers = kind_curves(graph, order)
    assert np.array_equal(np.sum(list(layers.values()), axis=0), live_curve(graph, order))
    view = memory_view(make_plan(graph))
    assert sum(layer.size_bytes for layer in view.stack).max() == view.curves[1].peak_bytes


def test_curves_bound_and_their_words():
    plan = make_plan(branches())
    view = memory_view(plan)
    assert [curve.role for curve in view.curves] == ["captured", "planned"]
    assert [curve.peak_bytes for curve in view.curves] == [plan.captured_peak_bytes, plan.peak_bytes]
    assert view.bound_bytes == plan.lower_bound_bytes
    for text in (
        "captured order (planned graph): peak 204.0 KiB, predicted",
        "lower bound of any order: 105.0 KiB",
        "wide_b",
    ):
        assert text in view.alt
    assert view.table.rows[0][:3] == ("captured order (planned graph)", 204 * KIB, "204.0 KiB")
    assert view.table.rows[-1][:2] == ("resident", 10 * KIB)


def test_the_captured_curve_says_which_graph_it_is_of():
    plan, profile = make_plan(branches()), Profile(graph=branches(), eager_graph=eager_branches())
    for view, label, what, size in (
        (memory_view(plan), "captured order (planned graph)", "captured", 204 * KIB),
        (memory_view(plan, profile), "captured order (eager)", "eager", 254 * KIB),
        (profile_memory_view(profile), "captured order (eager)", "eager", 254 * KIB),
    ):
        assert (view.curves[0].label, view.curves[0].what, view.curves[0].peak_bytes) == (label, what, size)
        assert f"The {what} peak is " in view.alt
        assert f"{label}: peak {bytes_text(size)}" in view.alt


def test_on_top_of_resident_bytes():
    plan = make_plan(branches())
    view = memory_view(plan, resident=True)
    assert view.base_bytes == 10 * KIB
    assert view.top_bytes == plan.captured_peak_bytes + 10 * KIB
    assert view.counted.startswith("resident (10.0 KiB) + live")
    assert memory_view(plan).counted == "live, above resident (10.0 KiB)"


def test_a_spike_is_named():
    view = memory_view(stacked_plan(chain(2000)))
    assert "broad" in view.curves[1].peak_note
    spike = Storage(10**6)
    graph = chain(2000)
    ops = (*graph.ops, Op("spike", "aten.sqrt.default", (0,), (2000,), (), "update", "wte", "adamw.py:1"))
    view = memory_view(stacked_plan(Graph("spike", (*graph.storages, spike), ops)))
    note = view.curves[1].peak_note
    assert "one short spike, at step 2,001 of 2,001: spike (aten.sqrt.default), update, wte, adamw.py:1" in note
    assert "outside it never more than 2.0 KiB" in note
    assert note in view.alt
    assert view.curves[1].peak_name == "spike · wte"


@pytest.mark.parametrize("count", [10, 5_000, 100_000])
def test_sampling_keeps_extremes_of_every_bucket(count):
    values = np.random.default_rng(0).integers(0, 10**9, count)
    edges = np.arange(count + 1, dtype=float)
    kept = sampled(edges, values, float(count))
    assert len(kept) <= max(4 * BUCKETS, count if count <= 2 * BUCKETS else 0)
    assert {int(values.argmax()), int(values.argmin()), 0, count - 1} <= set(kept.tolist())


def test_steps_without_width_keep_their_spike():
    values = np.zeros(5000, np.int64)
    values[2500] = 7
    edges = np.concatenate([np.zeros(2501), np.arange(2500, dtype=float)])  # half of them folded away
    assert 2500 in sampled(edges, values, 2500.0)


def two_scalars(first):
    return tuple(Op(f"scalar_{number}", "t", (), (number,)) for number in (first, first + 1))


def test_axes():
    graph = scalars(8)
    order = captured_order(graph)
    assert axis(graph, order).clock == "working"
    assert axis(graph, order).end == 2.0
    assert "8 that move no more than 64 B take no width" in axis(graph, order).label
    assert axis(graph, order, "steps").end == 10.0
    assert axis(graph, order, "bytes").edges[-1] == pytest.approx((KIB + 32 + 2 * KIB) / KIB)
    assert "KiB" in axis(graph, order, "bytes").label
    mostly = Graph("mostly", (*chain(7).storages, Storage(4), Storage(4)), (*chain(7).ops, *two_scalars(7)))
    assert axis(mostly, captured_order(mostly)).clock == "working"  # two of nine
    few = Graph("few", (*chain(9).storages, Storage(4), Storage(4)), (*chain(9).ops, *two_scalars(9)))
    assert axis(few, captured_order(few)).clock == "steps"  # two of eleven
    assert axis(chain(9), captured_order(chain(9))).clock == "steps"
    assert clocks_of(graph) == ("steps", "working", "bytes")
    with pytest.raises(InputError, match="were not timed"):
        axis(graph, order, "time")
    with pytest.raises(InputError, match="choose one of auto, steps, working, bytes, time"):
        axis(graph, order, "weeks")


def test_the_time_axis_counts_milliseconds():
    ops = tuple(Op(f"op_{n}", "t", (), (n,), (), time_us=1000.0 * (n + 1)) for n in range(3))
    graph = Graph("timed", tuple(Storage(100) for _ in range(3)), ops)
    assert clocks_of(graph)[-1] == "time"
    assert axis(graph, (2, 0, 1), "time").edges.tolist() == [0.0, 3.0, 4.0, 6.0]
    view = memory_view(make_plan(graph), clock="time")
    assert view.axis.end == 6.0


@pytest.mark.parametrize("clock", [clock for clock in CLOCKS if clock != "time"])
@pytest.mark.parametrize("graph", [empty(), chain(1), branches(), scalars(3)], ids=lambda graph: graph.name)
def test_every_clock_on_small_graphs(graph, clock):
    view = memory_view(make_plan(graph), clock=clock)
    for curve in view.curves:
        assert (np.diff(curve.x) >= 0).all()
        assert curve.peak_at <= view.axis.end
        assert curve.peak_bytes == curve.size_bytes.max(initial=0)


def test_measured_is_lined_up_with_the_graph():
    graph = branches()
    labels = [label for op in graph.ops for label in ("aten.view.default", op.target)]
    measured = MeasuredCurve(tuple(labels), tuple(range(1, 13)), "a tracker", "cpu")
    profile = Profile(graph=graph, measured=measured)
    for view in (profile_memory_view(profile, clock="steps"), memory_view(make_plan(graph), profile, clock="steps")):
        curve = view.curves[-1]
        assert (curve.role, curve.basis) == ("measured", "measured on cpu")
        assert curve.peak_bytes == 12
        assert curve.x[-1] == 5.0  # the last operator begins with the graph's last step
        assert "measured eager (cpu): peak 12 B, measured on cpu" in view.alt
    foreign = Profile(graph=graph, measured=MeasuredCurve(("a", "b"), (5, 9), "a tracker", "cpu"))
    assert profile_memory_view(foreign).curves[-1].peak_bytes == 9
    assert profile_memory_view(Profile(graph=graph)).bound_bytes is None


def test_a_bare_plan_has_nothing_to_show():
    from dataclasses import replace

    with pytest.raises(InputError, match="bare"):
        memory_view(replace(make_plan(branches()), graph=None))


def test_ticks_are_round():
    assert ticks(622, 5) == [0, 200, 400, 600]
    assert ticks(1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(0, 5)[0] == 0


def test_the_curve_of_a_baseline_lies_behind_the_plans():
    graph = branches()
    plan, other = make_plan(graph), make_plan(chain(6))
    view = memory_view(plan, baseline=("six", other))
    assert [curve.role for curve in view.curves] == ["captured", "baseline", "planned"]
    behind = view.curves[1]
    assert (behind.label, behind.peak_bytes) == ("baseline: six", other.peak_bytes)
    assert behind.x[-1] < view.axis.end  # stretched to the axis of what is shown
    assert "baseline: six" in view.alt
    assert "baseline: six" in [row[0] for row in view.table.rows]
