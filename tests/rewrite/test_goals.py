"""Where on the front the search goes on."""

from types import SimpleNamespace

from roam_lab.rewrite import goals
from roam_lab.rewrite.points import Goals


class Front:
    """Six states, named by their place: slower and smaller from one to the next."""

    us, states, peaks = list(range(6)), list("abcdef"), [60, 50, 40, 30, 20, 10]

    def at_most(self, us):
        return int(us) if us >= 0 else None

    def within(self, budget):
        return next((at for at, peak in enumerate(self.peaks) if peak <= budget), None)


def test_the_best_state_for_each_goal_and_the_next_two_are_polished(monkeypatch):
    polished = []
    monkeypatch.setattr(goals, "polish", lambda explorer, state, peak: polished.append((state, peak)))
    monkeypatch.setattr(goals, "time_of", lambda explorer, extra: extra)
    explorer = SimpleNamespace(front=Front())

    def asked(**given):
        polished.clear()
        goals.polish_at(explorer, Goals(**given))
        return polished[:]

    assert asked(extra_times=(1.0,)) == [("b", 50), ("c", 40), ("d", 30)]
    assert asked(budgets=(20,)) == [("e", 20), ("f", 10)]  # there are no more
    assert asked(extra_times=(0.0, -1.0), budgets=(50, 5)) == [("a", 60), ("b", 50), ("c", 40), ("d", 30)]
