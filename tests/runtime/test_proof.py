"""When a compiled step is known to be the eager one, in this start and in a later one."""

import json

import pytest
import torch

from roam_lab.capture.stored import NotStoredError
from roam_lab.runtime import this_environment
from roam_lab.runtime.proof import Proof, place_of_proof


def proof(wanted, *numbers):
    made = Proof(wanted)
    for one in numbers:
        made.note_equal(one)
    return made


def test_as_many_steps_as_are_wanted():
    assert not proof(1).holds((0.1,))
    assert proof(1, (0.1,)).holds((0.1,))
    assert not proof(2, (0.1,)).holds((0.1,))
    assert proof(2, (0.1,), (0.1,)).holds((0.1,))


def test_and_one_more_when_numbers_have_changed():
    assert not proof(1, (0.1,)).holds((0.2,))
    assert proof(1, (0.1,), (0.2,)).holds((0.3,))


@pytest.mark.parametrize("numbers", [((0.1, 3),), ((0.1, 3), (0.2, 3)), ((),)])
def test_a_later_start_takes_it_over(numbers):
    before = proof(1, *numbers)
    after = Proof(1)
    after.take(json.loads(json.dumps(before.to_data())))
    for now in (numbers[0], (0.1, 4), (0.7, 3), ()):
        assert after.holds(now) == before.holds(now)


@pytest.mark.parametrize("data", [{}, {"numbers": 3, "varied": True}, {"numbers": [{}], "varied": True}])
def test_data_of_another_form_is_not_taken(data):
    after = Proof(1)
    with pytest.raises((LookupError, TypeError, NotStoredError)):
        after.take(data)
    assert not after.holds(())


def test_a_place_is_a_graph_a_plan_and_a_machine(monkeypatch):
    cpu = torch.device("cpu")
    places = [
        place_of_proof("a", "a", [0, 1], {0: 0, 1: 64}, cpu),
        place_of_proof("b", "a", [0, 1], {0: 0, 1: 64}, cpu),
        place_of_proof("a", "b", [0, 1], {0: 0, 1: 64}, cpu),
        place_of_proof("a", "a", [1, 0], {0: 0, 1: 64}, cpu),
        place_of_proof("a", "a", [0, 1], {0: 64, 1: 0}, cpu),
    ]
    assert place_of_proof("a", "a", (0, 1), {1: 64, 0: 0}, cpu) == places[0]
    monkeypatch.setattr(this_environment, "_processor", lambda: "another")
    places.append(place_of_proof("a", "a", [0, 1], {0: 0, 1: 64}, cpu))
    assert len(set(places)) == len(places)
