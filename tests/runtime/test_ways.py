"""How many ways through a step may be captured."""

from roam_lab.runtime.ways import FREE_WAYS, STEPS_A_WAY, Ways


def test_ways_are_numbered_by_batch():
    ways = Ways()
    assert [ways.next("a") for _ in range(3)] == [0, 1, 2]
    assert ways.next("b") == 0


def test_some_are_free():
    ways = Ways()
    for _ in range(FREE_WAYS):
        assert ways.may_grow("a")
        ways.next("a")
    assert not ways.may_grow("a")
    assert ways.may_grow("b")


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
