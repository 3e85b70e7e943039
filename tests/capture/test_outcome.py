"""What a step leaves in Python, as texts: another result, or another entry, is another outcome."""

import pytest
import torch

from roam_lab.capture.outcome import other_outcome, outcome_of
from roam_lab.capture.sources.python_state import PythonState
from roam_lab.capture.sources.reachable import reach


def same(then, now):
    return other_outcome(then, now) is None


ONE, TWO = torch.zeros(3), torch.zeros(3)
SERIALS = {id(ONE): 1, id(TWO): 2}


def outcome(result=None, change=lambda held: None, begins=1, used=()):
    held = {"number": begins, "losses": [0.5] * begins, "kept": ONE, "options": {}}
    before = PythonState(reach({"step": held, "optimizer": [{"lr": 0.1}]}))
    change(held)
    return outcome_of(result, before.changes(), used, lambda tensor: SERIALS.get(id(tensor)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ONE, TWO), (ONE, 1.0), (1.0, 2.0), (1.0, 1), ((ONE, TWO), (TWO, ONE)), ((ONE, TWO), [ONE, TWO]),
        ({"a": ONE}, {"b": ONE}), (ONE, ONE.view(3, 1)), (None, False),
    ],
)  # fmt: skip
def test_another_result_is_ansame(one, other):
    assert same(outcome(one), outcome(one))
    assert not same(outcome(one), outcome(other))


CHANGES = [
    lambda held: held.update(number=2),
    lambda held: held.update(number=3),
    lambda held: held.update(kept=TWO),
    lambda held: held.update(new=1.0),
    lambda held: held.pop("number"),
    lambda held: held["losses"].append(1.0),
    lambda held: held["losses"].append(TWO),
    lambda held: held["losses"].extend([1.0, 2.0]),
    lambda held: held["losses"].extend([2.0, 1.0]),
    lambda held: held["options"].update(seen=(1, ONE)),
    lambda held: held["options"].update(seen=(1, TWO)),
]


def test_another_change_is_ansame():
    found = [outcome(), *(outcome(change=change) for change in CHANGES)]
    alike = [(i, j) for i, one in enumerate(found) for j, other in enumerate(found) if same(one, other)]
    assert alike == [(i, i) for i in range(len(found))]


def test_another_tensor_that_is_used_is_ansame():
    found = [outcome(used=[(path, one)]) for path in ("mask", "table") for one in (ONE, TWO)]
    assert [same(found[0], one) for one in found] == [True, False, False, False]
    assert same(outcome(used=[("mask", torch.ones(2))]), outcome())  # no op used it


def test_what_began_otherwise_is_not_compared():
    def counts(held):
        held["number"] += 1
        held["losses"].append(0.25)

    assert same(outcome(change=counts), outcome(change=counts, begins=7))
    assert not same(outcome(change=counts), outcome(change=lambda held: held.update(number=2)))


def test_what_the_optimizer_and_the_batch_hold_is_left_out():
    held = [{"lr": 0.1}]
    before = PythonState(reach({"optimizer": held}))
    held[0]["lr"] = 0.2
    assert before.changes() != ()
    for path in ("optimizer[0]['m']", "optimizer.state", "batch", "batch[0]", "batch['x']"):
        assert same(outcome_of(None, before.changes(), [(path, ONE)], lambda _: 1), outcome())
    for path in ("batches[0]", "optimizers"):
        assert other_outcome(outcome(), outcome_of(None, (), [(path, ONE)], lambda _: 1)) == f"the tensor {path}"
