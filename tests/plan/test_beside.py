"""What lies in the arena of storages that ops allocate themselves: on CUDA, what can be lent a range."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph, Layout, Op, Storage, lifetimes
from roam_lab.plan import make_plan
from roam_lab.plan.beside import (
    SMALL_BYTES,
    FreeRanges,
    beside_of,
    lent,
    lies_beside,
    most_apart,
    rounded,
    takes_large_blocks,
    top_of,
)
from roam_lab.plan.planner import lay_out
from roam_lab.registry import Strategy, find
from tests.plan.graphs import random_graph

MIB = 2**20


def test_small_and_kept_results_lie_beside_on_cuda_only():
    small, large = Storage(SMALL_BYTES, region="op"), Storage(SMALL_BYTES + 512, region="op")
    assert lies_beside(small, "cuda")
    assert not lies_beside(large, "cuda:1")
    assert lies_beside(replace(large, output=True), "cuda")
    assert not lies_beside(replace(large, region="arena"), "cuda")
    assert not lies_beside(small, "cpu")
    assert [takes_large_blocks(one) for one in (small, large, replace(large, region="arena"))] == [False, True, False]
    graph = Graph("two", (small, large, small), (Op("all", "t", creates=(0, 1, 2)),))
    assert beside_of(graph, "cuda") == {0, 2}
    assert beside_of(graph, "cpu") == frozenset()


def test_a_run_is_cut_and_becomes_one_again():
    runs = FreeRanges(100 * MIB)
    assert runs.lend(40 * MIB, 20 * MIB) == (0, 100 * MIB)
    assert runs.ranges == [(0, 40 * MIB), (60 * MIB, 100 * MIB)]
    assert runs.lend(60 * MIB, 10 * MIB) == (60 * MIB, 100 * MIB)
    assert runs.take_back(40 * MIB) == [(0, 40 * MIB)]
    assert runs.ranges == [(0, 60 * MIB), (70 * MIB, 100 * MIB)]
    assert runs.take_back(60 * MIB) == [(0, 60 * MIB), (70 * MIB, 100 * MIB)]
    assert runs.ranges == [(0, 100 * MIB)]


@pytest.mark.parametrize(
    ("start", "size", "possible"),
    [
        (0, 5 * MIB, True),
        (MIB // 2, 5 * MIB, False),  # the piece before it would come from small segments
        (MIB + 512, 5 * MIB, True),
        (96 * MIB, 5 * MIB, False),  # it ends beyond the arena
        (95 * MIB, 5 * MIB, True),
    ],
)
def test_where_the_allocator_can_cut(start, size, possible):
    assert (FreeRanges(100 * MIB).lend(start, size) is not None) is possible


def test_a_small_piece_behind_goes_along():
    runs = FreeRanges(100 * MIB)
    runs.lend(90 * MIB, 9 * MIB + MIB // 2)
    assert runs.lent == {90 * MIB: 100 * MIB}


def test_results_of_one_op_must_be_told_apart_by_size_and_not_touch():
    def graph(*sizes):
        storages = [Storage(60 * MIB), *(Storage(size, region="op") for size in sizes)]
        ops = [Op("a", "t", (), (0,)), Op("b", "t", (0,), tuple(range(1, len(storages))))]
        return Graph("two", tuple(storages), tuple(ops))

    found = lambda g, *offsets: lent(g, (0, 1), dict(enumerate((0, *offsets))))[0].keys()  # noqa: E731
    assert found(graph(20 * MIB, 10 * MIB), 0, 40 * MIB) == {1, 2}
    assert found(graph(20 * MIB, 10 * MIB), 0, 20 * MIB) == {1}
    assert found(graph(20 * MIB, 20 * MIB), 0, 40 * MIB) == {1}


def test_a_small_piece_before_the_next_range_goes_along_early():
    """The second lies a small piece behind the first, and is made while that lives."""
    sizes = (10 * MIB, 5 * MIB, 5 * MIB)
    storages = [Storage(30 * MIB), *(Storage(size, region="op") for size in sizes)]
    ops = [Op("zero", "t", (), (0,)), Op("first", "t", (0,), (1,)), Op("second", "t", (1,), (2,), (1,))]
    ops += [Op("far", "t", (2,), (3,), (1, 2))]
    graph = Graph("piece", tuple(storages), tuple(ops))
    offsets = {0: 0, 1: 0, 2: 10 * MIB + MIB // 2, 3: 20 * MIB}
    assert lent(graph, range(4), offsets)[0] == {1: 10 * MIB + MIB // 2, 2: 5 * MIB, 3: 5 * MIB}


def test_an_arena_begins_with_an_empty_piece_where_more_can_be_lent_then():
    """Something small lies at the beginning, close behind it what an op allocates."""
    storages = (Storage(64), Storage(9 * MIB, region="op"), Storage(10 * MIB))
    ops = [Op("small", "t", (), (0,)), Op("large", "t", (0,), (1,), (0,)), Op("end", "t", (1,), (), (0, 1))]
    ops += [Op("other", "t", (2,), (2,))]
    graph = Graph("front", storages, tuple(ops))

    def small_first(lives):
        return Layout({0: 0, 1: 512, 2: 0} if len(lives) == 3 else {life.storage: 0 for life in lives}, 10 * MIB)

    strategy = Strategy("layout", "small_first", small_first, "Places by hand.", "this test")
    placed = lay_out(graph, range(4), strategy, {}, 512, "cuda")
    assert placed.offsets == {0: MIB + 512, 1: MIB + 1024, 2: MIB + 512}
    assert placed.arena_bytes == 11 * MIB + 512
    assert lent(graph, range(4), placed.offsets)[0].keys() == {1}


def test_a_range_is_lent_again_to_what_comes_later():
    storages = (Storage(10 * MIB, region="op"), Storage(10 * MIB, region="op"))
    ops = (Op("first", "t", (), (0,)), Op("end", "t", (0,), (), (0,)), Op("second", "t", (1,), (1,)))
    found, size = lent(Graph("twice", storages, ops), range(3), {0: 0, 1: 0})
    assert (found, size) == ({0: 10 * MIB, 1: 10 * MIB}, 10 * MIB)
    both = (*ops[:1], Op("second", "t", (0,), (1,)), Op("end", "t", (1,), (), (0, 1)))
    assert len(lent(Graph("at once", storages, both), range(3), {0: 0, 1: 0})[0]) == 1


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_what_is_lent_is_free_in_the_arena(seed):
    small = random_graph(seed, 12, external=True)
    graph = replace(small, storages=tuple(replace(one, bytes=one.bytes * MIB) for one in small.storages))
    plan = make_plan(graph, environment={"device": "cuda"}, order="captured", layout="best_fit")
    found, size = lent(graph, plan.order, plan.offsets)
    assert top_of(graph, plan.offsets) <= size <= plan.arena_bytes
    lives = lifetimes(graph, plan.order)
    wanted = {life.storage for life in lives if not lies_beside(graph.storages[life.storage], "cuda")}
    inside = [life for life in lives if life.storage in found or not graph.storages[life.storage].external]
    for one in inside:
        start, end = plan.offsets[one.storage], plan.offsets[one.storage] + one.bytes
        assert end <= size
        for other in inside:
            if other is not one and one.start < other.end and other.start < one.end:
                assert end <= plan.offsets[other.storage] or start >= plan.offsets[other.storage] + other.bytes
    external = {storage for storage in wanted if graph.storages[storage].external}
    assert len(found) >= len(external) // 2


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_a_region_of_their_own_may_cost_a_thousandth_of_the_peak(seed):
    """By trying every moment."""
    small = random_graph(seed, 12, external=True)
    graph = replace(small, storages=tuple(replace(one, bytes=one.bytes * 1000) for one in small.storages))
    lives = lifetimes(graph, range(len(graph.ops)))

    def most(chosen):
        return max((sum(one.bytes for one in chosen if one.start <= at < one.end) for at in range(20)), default=0)

    outside = [one for one in lives if graph.storages[one.storage].external]
    inside = [one for one in lives if not graph.storages[one.storage].external]
    allowed = int(most(lives) * 1.001)
    expected = allowed if outside and most(inside) + most(outside) <= allowed else None
    assert most_apart(graph, lives) == expected


def test_what_is_above_by_a_byte_more_than_a_thousandth_is_not_apart():
    """Both peaks are a step apart: together they take `own` bytes more than the live peak."""
    for own, fits in ((8, True), (12, False)):
        storages = (Storage(10_000), Storage(own, region="op"))
        ops = (Op("a", "t", (), (0,)), Op("b", "t", (0,), (1,)))
        graph = Graph("edge", storages, ops)
        assert most_apart(graph, lifetimes(graph, range(2))) == (int(10_000 * 1.001) if fits else None)
    alone = Graph("alone", storages[:1], ops[:1])
    assert most_apart(alone, lifetimes(alone, range(1))) is None


@pytest.mark.parametrize(("size", "up"), [(0, 0), (1, 512), (512, 512), (513, 1024)])
def test_sizes_are_rounded_up_as_the_allocator_does(size, up):
    assert rounded(size) == up
    assert FreeRanges(size).ranges == [(0, up)]


@pytest.mark.parametrize(("external", "arena_bytes"), [(110, 1210), (111, 1100)])
def test_on_the_cpu_external_storages_lie_above_where_that_costs_no_more_than_is_allowed(
    external, arena_bytes, monkeypatch
):
    """The external one is gone before the last one comes: in one region they share their bytes."""
    monkeypatch.setattr("roam_lab.plan.beside.APART", 0.1)
    storages = (Storage(900), Storage(external, region="op"), Storage(200))
    ops = [Op("own", "t", (), (0,)), Op("by op", "t", (0,), (1,)), Op("end", "t", (1,), (), (0, 1))]
    ops += [Op("late", "t", (2,), (2,), (0,)), Op("last", "t", (3,), (), (2,))]
    graph = Graph("apart", storages, tuple(ops))
    placed = lay_out(graph, range(5), find("layout", "best_fit"), {}, 1)
    assert placed.arena_bytes == arena_bytes
    assert (placed.offsets[1] == 1100) is (arena_bytes == 1210)
