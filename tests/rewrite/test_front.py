"""The set of states that no other beats."""

import numpy as np

from roam_lab.rewrite.front import Front


def test_only_undominated_states_stay():
    front, state = Front(), np.zeros(1, dtype=np.int8)
    assert front.add(2.0, 50, state)
    assert not front.add(2.0, 50, state)
    assert not front.add(3.0, 50, state)
    assert front.add(1.0, 90, state)
    assert front.add(3.0, 20, state)
    assert front.add(1.5, 20, state)  # drops two
    assert (front.us, front.peaks) == ([1.0, 1.5], [90, 20])
    assert front.add(1.0, 80, state)
    assert front.peaks == [80, 20]


def test_random_states_leave_what_sorting_leaves():
    random = np.random.default_rng(0)
    front = Front()
    given = [(float(us), int(peak)) for us, peak in random.integers(0, 30, (300, 2))]
    for us, peak in given:
        front.add(us, peak, np.zeros(1, dtype=np.int8))
    kept = [
        (us, peak) for us, peak in set(given)
        if not any((a <= us and b < peak) or (a < us and b <= peak) for a, b in given)
    ]  # fmt: skip
    assert list(zip(front.us, front.peaks, strict=True)) == sorted(kept)
    for us in range(30):
        at = front.at_most(us)
        fitting = [peak for time, peak in given if time <= us]
        assert (None if at is None else front.peaks[at]) == min(fitting, default=None)
    for peak in range(30):
        at = front.within(peak)
        fitting = [time for time, needed in given if needed <= peak]
        assert (None if at is None else front.us[at]) == min(fitting, default=None)


def test_states_are_copied():
    front, state = Front(), np.zeros(1, dtype=np.int8)
    front.add(1.0, 1, state)
    state[0] = 1
    assert front.states[0][0] == 0
