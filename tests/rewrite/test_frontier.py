"""The frontier: as many points as asked for, the ends among them; what is refused, and how."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest

from roam_lab.errors import InfeasibleError
from roam_lab.registry import find
from roam_lab.rewrite import frontier as module
from roam_lab.rewrite.frontier import EXTRA_TIMES, at_most, found, frontier, within
from roam_lab.rewrite.points import Bound, Found, Goals, Point, undominated
from tests.rewrite.graphs import blocks


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_of_more_points_than_asked_the_ends_stay(count):
    graph = blocks(6)
    every = found(graph, Goals((0.0,)), "greedy", {"effort": 400}).points
    assert len(every) > 5
    some = frontier(graph, count, strategy="greedy", effort=400)
    assert len(some) == count
    assert some[0].extra_time == 0.0
    if count > 1:
        assert some[-1].peak_bytes == every[-1].peak_bytes
    assert all(a.extra_time < b.extra_time and a.peak_bytes > b.peak_bytes for a, b in pairwise(some))


@pytest.mark.parametrize("count", [3, 8, 9, 12, 15])
def test_a_strategy_is_asked_for_at_most_so_many_extra_times_from_0_on(count, monkeypatch):
    asked = []

    def keep(graph, goals, *rest):
        asked.append(goals.extra_times)
        return Found(find("rewrite", "none").function(graph, goals).points)

    monkeypatch.setattr("roam_lab.rewrite.frontier.found", keep)
    frontier(blocks(2), count)
    (times,) = asked
    assert times == tuple(sorted(set(times)))
    assert times[0] == 0.0
    assert count - 1 <= len(times) <= count
    assert set(EXTRA_TIMES[:count]) <= set(times)


def point(extra_time, peak_bytes):
    return Point(extra_time, peak_bytes, lambda: pytest.fail("not asked for"), "test")


def test_what_is_beaten_in_both_is_left_out():
    points = [point(0.2, 50), point(0.0, 100), point(0.1, 100), point(0.1, 70), point(0.1, 80), point(0.3, 50)]
    assert [(one.extra_time, one.peak_bytes) for one in undominated(points)] == [(0.0, 100), (0.1, 70), (0.2, 50)]


def test_the_point_for_a_time_and_for_a_budget():
    known = Found(undominated([point(0.1, 100), point(0.2, 50)]))
    assert known.at_most(0.05) is None
    assert known.at_most(0.1).peak_bytes == known.at_most(0.1999).peak_bytes == 100
    assert known.at_most(0.2).peak_bytes == 50
    assert known.within(49) is None
    assert known.within(50).extra_time == known.within(99).extra_time == 0.2
    assert known.within(100).extra_time == 0.1


def test_what_nothing_meets_is_told_with_what_would():
    graph = blocks(3)
    with pytest.raises(InfeasibleError, match=r"blocks_3: nothing is known that adds at most -10\.0% of time"):
        at_most(graph, -0.1, effort=100)
    with pytest.raises(InfeasibleError, match=r"10 bytes are too few: .* \d+ bytes, at \d+\.\d% more time; raise"):
        within(graph, 10, effort=100)


def test_a_point_of_a_graph_without_times_adds_none():
    """And one that runs the ops once adds exactly 0, whatever the last digits of a sum are."""
    graph = blocks(3)
    untimed = replace(graph, ops=tuple(replace(op, time_us=0.0) for op in graph.ops))
    for one in (graph, untimed):
        points = found(one, Goals((0.0,)), "greedy", {"effort": 400}).points
        assert points[0].extra_time == 0.0
    assert {point.extra_time for point in points} == {0.0}


def test_the_graph_itself_and_the_free_rewriting_are_always_among_what_is_found(monkeypatch):
    asked = []
    known = {"some": [(0.2, 50), (0.3, 60)], "none": [(0.0, 100)], "free": [(0.0, 90), (0.2, 50)]}

    def entry(room, name):
        def function(graph, goals, **values):
            asked.append((name, values))
            return Found(tuple(point(*one) for one in known[name]), (Bound(0.0, len(name)),))

        return SimpleNamespace(
            accept=lambda values: {**values, "accepted": True},
            function=function,
            call=lambda _, *given, **values: function(*given, **values),
        )

    monkeypatch.setattr(module, "find", entry)
    monkeypatch.setattr(module, "offloaded", lambda graph, goals, points: (point(0.1, 70), point(0.4, 50)))

    def told(name, parameters=None, **goals):
        asked.clear()
        result = found(blocks(2), Goals(**goals), name, parameters)
        return [(one.extra_time, one.peak_bytes) for one in result.points], result.bounds[0].peak_bytes, asked[:]

    others = [("none", {}), ("free", {})]
    assert told("some", {"effort": 3}) == (
        [(0.0, 90), (0.2, 50)], 4, [("some", {"effort": 3, "accepted": True}), *others],
    )  # fmt: skip
    assert told("none") == ([(0.0, 100)], 4, [("none", {"accepted": True})])
    assert told("free")[2] == [("free", {"accepted": True}), ("none", {})]
    assert told("some", kinds=frozenset({"offload"}))[0] == [(0.0, 90), (0.1, 70), (0.2, 50)]


def test_the_points_of_a_frontier_are_those_for_its_times_and_the_last(monkeypatch):
    asked, graph = [], blocks(2)

    def answer(graph, goals, strategy, parameters):
        asked.append((goals, strategy, parameters))
        return Found(tuple(point(number / 100, 100 - number) for number in range(20)))

    monkeypatch.setattr(module, "found", answer)

    def times(*count, **more):
        return [round(100 * one.extra_time) for one in frontier(graph, *count, **more)]

    assert times(1) == [0]
    assert times(2) == [0, 19]
    assert times(4) == [0, 2, 10, 19]  # of 0, 2, 5, 10, 19
    assert times(6) == [0, 2, 5, 10, 15, 19]
    assert times() == [0, 2, 3, 5, 7, 10, 12, 15, 19]
    assert asked[-1] == (Goals((0.0, 0.02, 0.03, 0.05, 0.07, 0.1, 0.12, 0.15, 0.2, 0.25, 0.33)), "auto", {})
    assert times(9, kinds=("fuse",), strategy="some", effort=3) == [0, 2, 5, 10, 15, 19]
    assert asked[-1] == (Goals(EXTRA_TIMES, kinds=frozenset({"fuse"})), "some", {"effort": 3})
    assert times(16)[:6] == [0, 1, 2, 3, 5, 7]
    assert asked[-1][0].extra_times == tuple(sorted((*EXTRA_TIMES, 0.03, 0.07, 0.12, 0.4, 0.01, 0.18, 0.29)))
    assert at_most(graph, 0.055, effort=3).extra_time == 0.05
    assert asked[-1] == (Goals((0.055,)), "auto", {"effort": 3})
    assert within(graph, 95, kinds=("recompute",)).extra_time == 0.05
    assert asked[-1] == (Goals(budgets=(95,), kinds=frozenset({"recompute"})), "auto", {})
