"""When the strategy `auto` goes on from save sets to searches, and with how much effort."""

import pytest

from roam_lab.rewrite import auto as module
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.points import Bound, Goals
from tests.rewrite.graphs import blocks, random_step

BOUNDS = (Bound(0.0, 10),)


@pytest.fixture
def asked(monkeypatch):
    """What is asked of the parts; goals of extra time are open where the first of them is above 0."""
    log = []

    def explorer(problem, effort):
        log.append(("effort", effort))
        return Explorer(problem, effort)

    def aim_at(explorer, goals):
        assert explorer.front.us  # the start has been seen
        return BOUNDS

    monkeypatch.setattr(module, "Explorer", explorer)
    monkeypatch.setattr(module, "aim_at", aim_at)
    monkeypatch.setattr(module, "open_goals", lambda explorer, goals, bounds: max(goals.extra_times, default=0) > 0)
    monkeypatch.setattr(module, "search_at", lambda explorer, goals, bounds, *rest: log.append(("search", *rest)))
    monkeypatch.setattr(module, "sweep", lambda explorer, start, fall: log.append(("sweep", fall)))
    return log


def test_effort_is_for_each_goal_and_searches_are_for_open_goals_and_budgets(asked):
    def done(graph, goals, **more):
        asked.clear()
        found = module.auto(graph, goals, **more)
        assert found.bounds == BOUNDS
        assert [point.strategy for point in found.points] == ["auto"]
        return asked[:]

    assert done(blocks(2), Goals()) == [("effort", 25_000)]
    assert done(blocks(2), Goals((0.0,))) == [("effort", 25_000)]  # not open
    assert done(blocks(2), Goals((0.0, 0.1)), effort=7) == [("effort", 20_014), ("search", 7, 0)]
    assert done(blocks(2), Goals((0.1,), (5, 6)), effort=7, seed=3) == [("effort", 20_021), ("search", 7, 3)]
    assert done(blocks(2), Goals(budgets=(5,)), effort=7) == [("effort", 20_007), ("search", 7, 0)]
    no_blocks = done(random_step(3), Goals((0.1,)), effort=7)
    assert no_blocks == [("effort", 20_007), ("sweep", 0.93), ("search", 7, 0)]
