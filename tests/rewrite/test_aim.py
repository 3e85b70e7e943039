"""From save sets to states: which states are repaired."""

import pytest

from roam_lab.rewrite import aim
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.save_set import applied, smallest_set
from roam_lab.rewrite.sweep import reach
from roam_lab.rewrite.tape import problem_of
from tests.rewrite.graphs import blocks


@pytest.mark.parametrize(("times", "repaired"), [(1, True), (1.4, True), (1.5, True), (1.6, False)])
def test_states_up_to_far_times_the_target_are_repaired(times, repaired, monkeypatch):
    """Peaks of 1.5 times the target (FAR), and no more."""
    explorer = Explorer(problem_of(blocks(3)), 3_000)
    start, instant = explorer.problem.start, aim.first_instant(explorer, explorer.problem.start)
    found = smallest_set(explorer.problem, [instant], explorer.problem.base_us, explorer.see(start).peak)
    peaks = {explorer.see(applied(explorer, start, found, *way)).peak for way in aim.WAYS}
    target = min(peaks) / times  # it need not be whole
    if times == 1.5:
        assert min(peaks) == aim.FAR * target
    tried = []

    def kept(explorer, state, target, effort):
        tried.append(explorer.see(state).peak)
        return reach(explorer, state, target, effort)

    monkeypatch.setattr(aim, "reach", kept)
    aim._expanded(explorer, start, found, target)
    assert (min(peaks) in tried) == repaired
    assert all(peak <= aim.FAR * target for peak in tried)
