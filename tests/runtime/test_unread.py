"""What a step does not read: found by what stands in its place, whatever it does with it."""

import collections
import contextlib

import pytest
import torch

from roam_lab.capture.inputs import batch_structure, check_attributes
from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.guards import Differing
from roam_lab.capture.sources.probe import Probe, TouchedError, is_touched
from roam_lab.capture.training_step import TrainingStep
from roam_lab.runtime.unread import unread

USES = {
    "truth": lambda x: bool(x),
    "sum": lambda x: x + 1,
    "reversed sum": lambda x: 2 * x,
    "comparison": lambda x: x == 3,
    "order": lambda x: x < 3,
    "attribute": lambda x: x.shape,
    "entry": lambda x: x[0],
    "length": lambda x: len(x),
    "loop": lambda x: list(x),
    "call": lambda x: x(),
    "class": lambda x: isinstance(x, int),
    "text": lambda x: f"{x}",
    "key": lambda x: {x: 1},
    "conversion": lambda x: float(x),
    "index": lambda x: [1, 2][x],
    "tensor": lambda x: torch.ones(2) * x,
    "range": lambda x: range(x),
    "setting": lambda x: setattr(x, "a", 1),
    "context": lambda x: contextlib.ExitStack().enter_context(x),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_whatever_is_done_with_a_probe_is_noted(use):
    probe = Probe()
    assert not is_touched(probe)
    # code of another file than roam-lab's; torch raises errors of its own
    with contextlib.suppress(TouchedError, TypeError, RuntimeError, ValueError):
        use(probe)
    assert is_touched(probe)


def test_moving_a_probe_about_does_not_touch_it():
    probe = Probe()
    held = {"a": probe, "b": [probe, (probe,)]}
    assert held["b"][0] is probe is not None
    assert not is_touched(probe)


class Holder:
    def __init__(self):
        self.read, self.kept, self.gated, self.log = 1.0, 2.0, None, []

    def __call__(self, model, optimizer, batch):
        kept = self.kept  # not read, only looked up
        return (kept is self, self.read + 1, self.gated is None)


def differing(holder, name):
    return Differing(Container("attributes", vars(holder), "step", owner=holder), name, f"step.{name}", whole=False)


def asked(holder, was):
    def is_still():
        try:
            return holder(None, None, None) == was
        except Exception:
            return False

    return is_still


def test_what_is_read_is_told_from_what_is_not():
    holder = Holder()
    step = TrainingStep(torch.nn.Linear(1, 1), torch.optim.SGD([torch.ones(1, requires_grad=True)]), holder)
    changed = [differing(holder, name) for name in ("kept", "read", "gated")]
    found = unread(step, changed, asked(holder, holder(None, None, None)))
    assert [one.path for one in found] == ["step.kept"]
    assert (holder.read, holder.kept, holder.gated) == (1.0, 2.0, None)


@pytest.mark.parametrize("kind", [list, collections.deque])
@pytest.mark.parametrize("read", [False, True])
def test_a_list_that_has_grown_is_taken_away_whole(kind, read):
    holder = Holder()
    log = holder.log = kind([1])
    also = {"there": log}

    def run():
        return len(also["there"]) if read else 0

    def step(model, optimizer, batch):
        return run(), holder

    training = TrainingStep(torch.nn.Linear(1, 1), torch.optim.SGD([torch.ones(1, requires_grad=True)]), step)
    held = "list" if kind is list else "deque"
    changed = Differing(Container(held, log, "holder.log"), 0, "holder.log", whole=True)
    assert bool(unread(training, [changed], asked(lambda *_: run(), run()))) is not read
    assert holder.log is also["there"] is log


def test_what_is_held_nowhere_that_can_be_written_counts_as_read():
    log = [1]
    holder = (log,)

    def step(model, optimizer, batch):
        return holder

    training = TrainingStep(torch.nn.Linear(1, 1), torch.optim.SGD([torch.ones(1, requires_grad=True)]), step)
    assert unread(training, [Differing(Container("list", log, "holder[0]"), 0, "holder[0]", True)], lambda: True) == []


def test_a_leaf_of_the_batch():
    leaves = [1, "a"]
    batch = Container("list", leaves, "batch")

    def is_still():
        try:
            return leaves[0] + 1 == 2
        except Exception:
            return False

    holder = Holder()
    step = TrainingStep(torch.nn.Linear(1, 1), torch.optim.SGD([torch.ones(1, requires_grad=True)]), holder)
    changed = [Differing(batch, index, str(index), whole=False) for index in range(2)]
    assert [one.path for one in unread(step, changed, is_still)] == ["1"]
    assert leaves == [1, "a"]


def test_what_was_touched_is_left_out_at_once():
    """Of many things that changed, each question takes out those that are read."""
    holder, asked_for = Holder(), []
    holder.__dict__.update({f"kept{index}": index for index in range(8)})
    step = TrainingStep(torch.nn.Linear(1, 1), torch.optim.SGD([torch.ones(1, requires_grad=True)]), holder)
    is_still = asked(holder, holder(None, None, None))
    changed = [differing(holder, name) for name in ("read", *(f"kept{index}" for index in range(8)))]
    found = unread(step, changed, lambda: asked_for.append(1) or is_still())
    assert ([one.path for one in found], len(asked_for)) == ([f"step.kept{index}" for index in range(8)], 5)


def test_our_own_questions_do_not_touch_a_probe():
    probe = Probe()
    assert batch_structure({"x": probe})
    check_attributes({"x": probe, "y": [probe]})
    assert not is_touched(probe)
