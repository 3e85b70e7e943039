"""How many ways through a step may be captured."""

from roam_lab.runtime.ways import FREE_WAYS, STEPS_A_WAY, WAYS_MET_ONCE, Ways


def test_ways_are_numbered_by_batch():
    ways = Ways()
    assert [ways.next("a") for _ in range(3)] == [0, 1, 2]
    assert ways.next("b") == 0


def test_some_are_free_and_more_if_they_are_met_again():
    ways = Ways()
    for _ in range(WAYS_MET_ONCE):
        assert ways.may_grow("a")
        ways.next("a")
        ways.ran("a")
    assert not ways.may_grow("a")
    assert ways.may_grow("b")
    ways.ran("a")  # one of them once more
    for _ in range(FREE_WAYS - WAYS_MET_ONCE):
        assert ways.may_grow("a")
        ways.next("a")
        ways.ran("a")
    assert not ways.may_grow("a")


def test_more_have_to_be_earned():
    ways = Ways()
    for _ in range(FREE_WAYS):
        ways.next("a")
    for _ in range(STEPS_A_WAY * FREE_WAYS - 1):
        ways.ran("a")
    ways.ran("b")  # of another batch
    assert not ways.may_grow("a")
    ways.ran("a")
    assert ways.may_grow("a")
    ways.next("a")
    assert not ways.may_grow("a")
    for _ in range(STEPS_A_WAY):
        ways.ran("a")
    assert ways.may_grow("a")
