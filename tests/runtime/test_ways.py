"""How many ways through a step may be captured."""

from roam_lab.runtime.reasons import Reason
from roam_lab.runtime.ways import FREE_WAYS, MOST_REMEMBERED, STEPS_A_WAY, TRIES, Ways


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


def test_a_refused_way_does_not_end_the_others_at_once():
    ways, reason = Ways(), Reason("the step is another")
    assert ways.given_up("a", others=True) is None
    for _ in range(TRIES - 1):
        ways.refuse("a", reason)
    assert ways.given_up("a", others=True) is None
    assert ways.given_up("a", others=False) is reason  # there is nothing that could run planned
    ways.refuse("a", reason)
    assert ways.given_up("a", others=True) is reason
    assert ways.given_up("b", others=False) is None


def test_refusals_of_too_many_kinds_of_batches_are_forgotten():
    ways = Ways()
    for key in range(MOST_REMEMBERED + 1):
        ways.refuse(key, Reason("refused"))
    assert ways.given_up(0, others=False) is None
    assert ways.given_up(MOST_REMEMBERED, others=False) is not None
