"""Where on the front the search goes on."""

from types import SimpleNamespace

from roam_lab.rewrite import goals
from roam_lab.rewrite.points import Bound, Goals


class Front:
    """Six states, named by their place: slower and smaller from one to the next."""

    us, states, peaks = list(range(6)), list("abcdef"), [60, 50, 40, 30, 20, 10]

    def at_most(self, us):
        return int(us) if us >= 0 else None

    def within(self, budget):
        return next((at for at, peak in enumerate(self.peaks) if peak <= budget), None)


class Asked:
    """An explorer whose base time is 100 us; what its searches are asked is kept in `log`."""

    def __init__(self, monkeypatch, peaks=Front.peaks, us=Front.us):
        self.front, self.log = Front(), []
        self.front.peaks, self.front.us = list(peaks), list(us)
        self.problem = SimpleNamespace(base_us=100.0, start="start")

        def aim_time(explorer, us, start):
            self.log.append(("time", us, start))
            return int(us) if us > 105 else 0

        monkeypatch.setattr(goals, "aim_time", aim_time)
        monkeypatch.setattr(goals, "aim_bytes", lambda explorer, *rest: self.log.append(("bytes", *rest)))
        monkeypatch.setattr(goals, "search", lambda explorer, *rest, **more: self.log.append((*rest, more)))

    def see(self, state):
        self.log.append(("seen", state))
        return SimpleNamespace(peak=60)


def test_a_time_is_that_of_the_graph_and_a_little_more_than_the_extra():
    explorer = SimpleNamespace(problem=SimpleNamespace(base_us=200.0))
    assert 220 < goals.time_of(explorer, 0.1) < 220.001
    assert 200 < goals.time_of(explorer, 0.0) < 200.001


def test_save_sets_are_sought_for_every_time_and_for_budgets_below_the_start(monkeypatch):
    explorer = Asked(monkeypatch)
    bounds = goals.aim_at(explorer, Goals((0.0, 0.1, 0.2), (59, 60, 61)))
    assert bounds == (Bound(0.1, 110), Bound(0.2, 120))  # nothing is proven of the first
    times = [(what, round(us, 3), start) for what, us, start in explorer.log[:3]]
    assert times == [("time", 100.0, "start"), ("time", 110.0, "start"), ("time", 120.0, "start")]
    assert explorer.log[3:] == [("seen", "start"), ("bytes", 59, "start"), ("seen", "start"), ("seen", "start")]


def test_a_goal_is_open_where_its_peak_is_not_close_to_what_is_proven(monkeypatch):
    explorer = Asked(monkeypatch, peaks=[1004, 1004, 1005], us=[100, 110, 120])
    explorer.front.at_most = lambda us: int(us // 10) - 10 if us >= 100 else None

    def open_(extra_times, *bounds):
        times = goals.open_goals(explorer, Goals(extra_times), bounds)
        return [round(us) for us in times]

    assert open_((0.2, 0.0, 0.1)) == [100, 110, 120]
    assert open_((0.2, 0.1), Bound(0.1, 1000), Bound(0.2, 1000)) == [120]
    assert open_((0.1,), Bound(0.1, 999)) == [110]
    assert open_((-0.5,)) == []  # nothing is as fast


def test_the_search_goes_on_at_every_open_time_and_every_budget(monkeypatch):
    def log(**given):
        explorer = Asked(monkeypatch, peaks=[60, 50, 40, 30, 20, 10])
        explorer.front.at_most = lambda us: 0
        goals.search_at(explorer, Goals(**given), (), 70, 4)
        return [(effort, {key: round(value) for key, value in more.items()}) for effort, more in explorer.log]

    assert log(extra_times=(0.2, 0.1)) == [(70, {"us": 110, "seed": 4}), (70, {"us": 120, "seed": 4})]
    assert log(budgets=(60,)) == []  # what is free will do
    assert log(budgets=(50,)) == [(70, {"budget": 50, "seed": 4})]
    assert log(budgets=(5,)) == [(70, {"us": 5, "seed": 4}), (70, {"budget": 5, "seed": 4})]


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
