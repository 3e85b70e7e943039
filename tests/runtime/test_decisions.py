"""Which way a step takes, told before it: from the batch, from small tensors, from settings; nothing is changed."""

import pytest
import torch
from torch import nn

from roam_lab.capture import TrainingStep, as_step, capture_step
from roam_lab.capture.inputs import read_setting
from roam_lab.measure.eager import record
from roam_lab.runtime.decisions import write_decisions


def mean_square(model, batch):
    return model(batch).pow(2).mean()


class Model(nn.Module):
    def __init__(self, before=lambda self, x: x):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(()))
        self.limit = torch.ones(())
        self.before = before

    def forward(self, x):
        return self.linear(self.before(self, x))


class Decided:
    """The decisions of a captured step, asked about a batch and the model as it is now."""

    def __init__(self, before, batch, step=None):
        self.model = Model(before)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        step = step or as_step(mean_square)
        seen = self.model.seen.clone()
        log = record(TrainingStep(self.model, self.optimizer, step), batch).log
        self.model.seen.copy_(seen)
        self.captured = capture_step(self.model, self.optimizer, batch, step, log=log)
        self.decisions = write_decisions(self.captured)

    def broken(self, batch):
        values = {"batch": lambda path: batch, "buffer": lambda path: getattr(self.model, path[0])}
        values["parameter"] = lambda path: self.model.get_parameter(path[0])
        values["setting"] = lambda path: read_setting((self.optimizer,), path)
        found = {one: values[one.kind](one.path) for one in self.decisions.inputs if not isinstance(one, torch.Tensor)}
        return self.decisions.broken(found)


def test_nothing_to_decide():
    assert Decided(lambda self, x: x, torch.ones(3, 4)).decisions is None


def test_by_the_batch():
    decided = Decided(lambda self, x: x * 2 if x.sum() > 0 else x, torch.ones(3, 4))
    assert decided.broken(torch.ones(3, 4)) is None
    message = decided.broken(-torch.ones(3, 4))
    assert message.startswith("the step takes another way at tests/runtime/test_decisions.py:")
    assert message.endswith(" than any that was captured")


def test_by_the_other_branch_it_is_the_other_way_round():
    decided = Decided(lambda self, x: x * 2 if x.sum() > 0 else x, -torch.ones(3, 4))
    assert decided.broken(-torch.ones(3, 4)) is None
    assert decided.broken(torch.ones(3, 4)) is not None


def test_the_first_condition_that_does_not_hold_is_told():
    def twice(self, x):
        if x[0, 0] > 0:
            x = x * 2
        if x[0, 1] > 0:
            x = x + 1
        return x

    decided = Decided(twice, torch.ones(3, 4))
    first, second, both = (torch.ones(3, 4) for _ in range(3))
    first[0, 0] = second[0, 1] = both[0, 0] = both[0, 1] = -1
    lines = [decided.broken(batch) for batch in (first, second, both)]
    assert decided.broken(torch.ones(3, 4)) is None
    assert lines[0] == lines[2] != lines[1]


def test_by_a_buffer_that_the_step_counts_up_which_is_left_alone():
    def counts(self, x):
        self.seen.add_(1)
        return x * 2 if self.seen < 3 else x

    decided = Decided(counts, torch.ones(3, 4))
    for seen, holds in ((0, True), (1, True), (2, False), (5, False)):
        decided.model.seen.fill_(seen)
        assert (decided.broken(torch.ones(3, 4)) is None) is holds
        assert decided.model.seen == seen


def test_by_a_tensor_outside_the_model_as_it_is_then():
    limit = torch.ones(())
    decided = Decided(lambda self, x: x * 2 if x[0, 0] < limit * 2 else x, torch.ones(3, 4))
    assert decided.broken(torch.ones(3, 4)) is None
    limit.fill_(0.25)
    assert decided.broken(torch.ones(3, 4)) is not None


def test_by_a_number_that_a_shape_depends_on():
    decided = Decided(lambda self, x: x.narrow(1, 0, 4)[: int(x[0, 0])], torch.full((3, 4), 2.0))
    assert decided.broken(torch.full((3, 4), 2.0)) is None
    for other in (1.0, 3.0):
        assert decided.broken(torch.full((3, 4), other)) is not None


def test_with_a_setting_of_the_optimizer():
    def step(model, optimizer, batch):
        loss = mean_square(model, batch)
        if batch[0, 0].item() > optimizer.param_groups[0]["lr"]:
            loss = loss * 2
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    decided = Decided(lambda self, x: x, torch.ones(3, 4), step)
    assert decided.broken(torch.ones(3, 4)) is None
    decided.optimizer.param_groups[0]["lr"] = 1.5
    assert decided.broken(torch.ones(3, 4)) is not None
    assert decided.broken(torch.full((3, 4), 2.0)) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none(value):
    decided = Decided(lambda self, x: x * 2 if x.sum() > 0 else x, torch.ones(3, 4))
    eager = bool(torch.full((3, 4), value).sum() > 0)
    assert (decided.broken(torch.full((3, 4), value)) is None) is eager


def test_no_autograd_and_no_random_numbers():
    decided = Decided(lambda self, x: x * 2 if self.linear.weight.sum() > -1e9 else x, torch.ones(3, 4))
    state = torch.get_rng_state()
    assert decided.broken(torch.ones(3, 4)) is None
    assert torch.equal(torch.get_rng_state(), state)
