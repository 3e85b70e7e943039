"""Offload: the link takes one copy at a time, copies hide behind the ops, and the judge finds every value in place."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roam_lab.errors import FormatError
from roam_lab.ir import Graph, captured_order, live_peak, untouched
from roam_lab.ir.graph import Device
from roam_lab.ir.host_copies import copy_us, host_copies, waited_us
from roam_lab.rewrite.frontier import found
from roam_lab.rewrite.host_link import HostLink
from roam_lab.rewrite.host_moves import HostMove, with_moves
from roam_lab.rewrite.kinds import KINDS, ON_DEVICE, default_kinds
from roam_lab.rewrite.offload import WAITS, offload
from roam_lab.rewrite.offloaded import offloaded
from roam_lab.rewrite.points import Goals
from tests.rewrite.graphs import Writer, blocks, judged, ladder, random_step

DEVICE = Device(1e12, 1e12, 0.0, 10**6, host_bytes_per_s=100e6)  # 100 bytes a us


def peak_of(graph: Graph) -> int:
    return live_peak(graph, captured_order(graph)).bytes


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(1, 9)), max_size=12))
def test_the_link_gives_the_first_or_last_stretch_that_is_free(asked: list[tuple[bool, int, int]]) -> None:
    link, taken = HostLink(), set[int]()
    for early, at, lasts in asked:
        free = [t for t in range(-200, 400) if not taken & set(range(t, t + lasts))]
        if early:
            begin = int(link.earliest(at, lasts))
            assert begin == min(t for t in free if t >= at)
        else:
            begin = int(link.latest(at, lasts))
            assert begin == max(t for t in free if t + lasts <= at)
        link.take(begin, begin + lasts)
        taken |= set(range(begin, begin + lasts))


def valley() -> Graph:
    """Storage 0 is needed at both ends, and lies unused beside the peak in op 3; each op takes 1 us."""
    write = Writer()
    kept, small, large, last = (write.storage(size) for size in (100, 10, 300, 10))
    write.op((kept,))
    write.op((small,), (kept,))
    write.op((), (small,), (small,))
    write.op((large,), (small,))
    write.op((last,), (large,))
    write.op((), (last,), (last,))
    write.op((), (last,), (last,))
    write.op((), (kept, last), (last,))
    return write.graph("valley")


def test_what_is_unused_at_the_peak_is_on_the_host() -> None:
    graph = valley()
    rewritten = offload(untouched(graph), DEVICE)
    assert (peak_of(graph), peak_of(rewritten.graph)) == (410, 310)
    assert rewritten.offloaded_bytes == 100
    names = [op.name for op in rewritten.graph.ops]
    assert names.index("to_host_0") == names.index("op_2") - 1  # written at 1 us, copied at 2 us
    assert names.index("from_host_4") == names.index("op_6") - 1  # due at 7 us
    assert judged(graph, rewritten)[0] == 310


def test_a_copy_that_takes_too_long_is_not_made() -> None:
    graph = valley()
    slow = replace(DEVICE, host_bytes_per_s=30e6)  # over 3 us out: until op 5 begins
    before = untouched(graph)
    assert offload(before, slow) is before
    assert offload(before, replace(DEVICE, launch_us=3.0)) is before


def test_no_more_is_moved_than_the_target_needs() -> None:
    graph = blocks(6)
    before = untouched(graph)
    least = offload(before, DEVICE)
    target = (peak_of(graph) + peak_of(least.graph)) // 2
    some = offload(before, DEVICE, target)
    assert peak_of(least.graph) <= peak_of(some.graph) <= target < peak_of(graph)
    assert 0 < some.offloaded_bytes < least.offloaded_bytes
    assert offload(before, DEVICE, peak_of(graph)) is before


@settings(max_examples=50)
@example(seed=813, make=random_step, rate=3e8, launch=1.0)
@given(st.integers(0, 10**6), st.sampled_from([random_step, ladder]), st.floats(1e6, 1e9), st.floats(0, 1))
def test_random_steps_find_the_same_values_and_never_wait(seed, make, rate, launch) -> None:
    graph = make(seed)
    device = replace(DEVICE, host_bytes_per_s=rate, launch_us=launch)
    rewritten = offload(untouched(graph), device)
    peak, seconds = judged(graph, rewritten)
    assert peak == peak_of(rewritten.graph) <= peak_of(graph)
    assert seconds == judged(graph, untouched(graph))[1]
    order = captured_order(rewritten.graph)
    assert waited_us(rewritten, order, device) <= WAITS * sum(op.time_us or 0 for op in graph.ops)
    assert (rewritten.offloaded_bytes > 0) == (peak < peak_of(graph))
    starts = [copy.start for copy in host_copies(rewritten, order)]
    assert starts == sorted(starts)


def test_two_copies_take_the_link_one_after_the_other() -> None:
    """Two storages of one op lie unused beside the peak; each copy takes 1 us, as each op does."""
    write = Writer()
    first, second, small, large, last = (write.storage(size) for size in (100, 100, 10, 300, 10))
    write.op((first, second))
    write.op((small,), (first, second))
    for _ in range(4):
        write.op((), (small,), (small,))
    write.op((large,), (small,))
    write.op((last,), (large,))
    for _ in range(5):
        write.op((), (last,), (last,))
    write.op((), (second, last), (last,))
    write.op((), (first, last), (last,))
    graph = write.graph()
    rewritten = offload(untouched(graph), DEVICE)
    assert (peak_of(graph), peak_of(rewritten.graph)) == (510, 310)
    names = [op.name.rstrip("0123456789") if "host" in op.name else op.name for op in rewritten.graph.ops]
    assert names[1:6] == ["op_1", "to_host_", "op_2", "to_host_", "op_3"]
    assert names.count("from_host_") == 2
    assert waited_us(rewritten, captured_order(rewritten.graph), DEVICE) == 0


def test_a_storage_goes_more_than_once() -> None:
    graph = valley()
    write = Writer()
    write.storages, write.ops = list(graph.storages), list(graph.ops)
    more, end = write.storage(300), write.storage(1)
    write.op((more,), (3,))
    write.op((end,), (more, 3))
    write.op((), (0, end), (end,))
    longer = write.graph()
    moves = [HostMove(0, 2, 6), HostMove(0, 9, 10)]
    rewritten = with_moves(untouched(longer), moves)
    judged(longer, rewritten)
    copies = [origin.copies for origin in rewritten.origins if origin.copies]
    assert [source for source, _ in copies] == [0, copies[0][1], copies[1][1], copies[2][1]]
    assert rewritten.offloaded_bytes == 200


def test_waiting_for_copies_is_counted() -> None:
    graph = valley()
    rewritten = with_moves(untouched(graph), [HostMove(0, 3, 6)])
    order = captured_order(rewritten.graph)
    assert waited_us(rewritten, order, DEVICE) == 0
    slow = replace(DEVICE, host_bytes_per_s=20e6)
    assert copy_us(100, slow) == 5
    # out from 1 to 6 us, and op 3 would begin at 3 us; back from 9 us on, and op 7 would begin at 10 us
    assert waited_us(rewritten, order, slow) == pytest.approx(3 + 4)


def test_points_with_offload_dominate() -> None:
    graph = replace(blocks(8), device=DEVICE)
    goals = Goals((0.0, 0.2), kinds=frozenset(KINDS))
    without = found(graph, replace(goals, kinds=frozenset(ON_DEVICE)))
    known = found(graph, goals)
    for extra in goals.extra_times:
        best, plain = known.at_most(extra), without.at_most(extra)
        assert best is not None
        assert plain is not None
        assert best.peak_bytes < plain.peak_bytes
        assert judged(graph, best.rewritten())[0] == best.peak_bytes
    budget = known.points[-1].peak_bytes
    within = found(graph, Goals(budgets=(budget,), kinds=frozenset(KINDS))).within(budget)
    assert within is not None
    assert within.extra_time <= known.points[-1].extra_time


def test_a_budget_that_only_offload_meets_is_met() -> None:
    graph = replace(valley(), device=DEVICE)
    goals = Goals(budgets=(350,), kinds=frozenset(KINDS))
    points = found(graph, replace(goals, kinds=frozenset())).points
    assert min(point.peak_bytes for point in points) > 350
    (point,) = [one for one in offloaded(graph, goals, points) if one.peak_bytes <= 350][-1:]
    assert judged(graph, point.rewritten())[0] == point.peak_bytes
    assert offloaded(graph, replace(goals, budgets=(350,)), points[:0]) == ()
    (one,) = points[:1]
    assert len(offloaded(graph, goals, (one,))) == 2  # without a target, and down to the budget
    assert len(offloaded(graph, replace(goals, budgets=()), (one,))) == 1


def test_a_graph_without_rates_cannot_offload() -> None:
    with pytest.raises(FormatError, match="offload cannot be costed; capture the step with --timing or --times"):
        found(blocks(2), Goals((0.0,), kinds=frozenset(KINDS)))


@pytest.mark.parametrize(
    ("environment", "device", "timed", "kinds"),
    [
        ({"device": "cuda"}, DEVICE, True, KINDS),
        ({"device": "cuda:1"}, None, False, KINDS),
        ({"device": "cuda"}, None, True, ON_DEVICE),
        ({"device": "cpu"}, DEVICE, True, ON_DEVICE),
        ({}, DEVICE, True, ON_DEVICE),
    ],
)
def test_offload_is_for_cuda(environment, device, timed, kinds) -> None:
    graph = replace(blocks(2), environment=environment, device=device)
    if not timed:
        graph = replace(graph, ops=tuple(replace(op, time_us=None) for op in graph.ops))
    assert default_kinds(graph) == kinds
