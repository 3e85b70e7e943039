"""Python values that a step changes: numbers, lists, tensors bound to names, schedulers; planned as eager does them."""

import collections
import copy
import re

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import capture_step
from roam_lab.capture.sources.python_values import ValuePlace, is_number, is_plain_number
from roam_lab.errors import CaptureError


class Thing:
    """Any object."""

    shared = 1

    def __init__(self, **attributes):
        vars(self).update(attributes)


def variable(value):
    def reads():
        return value

    return reads.__closure__[0]


PLACES = [
    (Thing(a=1), "a"),
    ({"a": 1}, "a"),
    ([1], 0),
    (collections.deque([1]), 0),
    (variable(1), "value"),
    (type("Own", (), {"a": 1}), "a"),
]


@pytest.mark.parametrize(("container", "key"), PLACES, ids=lambda value: type(value).__name__)
def test_every_place_is_read_and_written(container, key):
    place = ValuePlace(container, key, "some.path")
    assert place.read() == 1
    place.write(2)
    assert place.read() == 2


@pytest.mark.parametrize(
    ("container", "key"), [(Thing(), "a"), ({}, "a"), ([], 0), (collections.deque(), 0)], ids=lambda v: type(v).__name__
)
def test_a_place_that_is_gone(container, key):
    with pytest.raises(KeyError, match=r"some\.path"):
        ValuePlace(container, key, "some.path").read()


def test_what_is_a_number():
    assert [is_number(value) for value in (1, 0.5, True, None, "1")] == [True, True, False, False, False]
    assert [is_plain_number(value) for value in (1, 0.5, True, None, "1")] == [True, True, False, False, False]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x)


def train(model, optimizer, batch, factor=1.0):
    loss = model(batch).pow(2).mean() * factor
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def both(make_step, count=4, first=0):
    """The planned step and the eager one from the same start, `count` times; both states of Python, for comparison.

    `make_step(state)` makes the step of one side, which keeps what it changes in `state`.
    """
    torch.manual_seed(0)
    model, batch = Model(), torch.randn(3, 4)
    twin = copy.deepcopy(model)
    one, other = (torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, twin))
    mine, eager = Thing(), Thing()
    step, twin_step = make_step(mine, one), make_step(eager, other)
    for _ in range(first):
        assert torch.equal(step(model, one, batch), twin_step(twin, other, batch))
    planned = roam.hook(roam.profile(model, batch, one, step=step).plan(), model, one, step=step)
    for _ in range(count):
        assert torch.equal(planned(batch), twin_step(twin, other, batch))
    assert torch.equal(model.linear.weight, twin.linear.weight)
    assert planned.planned_steps == count, planned.reasons
    assert planned.notes == []
    return mine, eager, planned


def test_a_counter():
    def make(state, _):
        state.count = 0

        def step(model, optimizer, batch):
            state.count += 1
            return train(model, optimizer, batch, 1 / state.count)

        return step

    mine, eager, planned = both(make)
    assert (mine.count, type(mine.count)) == (eager.count, int) == (4, int)
    assert len(planned._compiled) == 1


def test_a_running_mean_in_floats():
    def make(state, _):
        state.mean, state.weight = 0.0, 1.0

        def step(model, optimizer, batch):
            state.weight *= 0.9
            state.mean = 0.3 * state.mean + state.weight / 3
            return train(model, optimizer, batch, state.mean)

        return step

    mine, eager, _ = both(make)
    assert (mine.mean, mine.weight) == (eager.mean, eager.weight)
    assert type(mine.mean) is float


def test_a_loss_in_a_list():
    def make(state, _):
        state.losses, state.last = [], collections.deque([0.0, 1.0], maxlen=2)

        def step(model, optimizer, batch):
            loss = train(model, optimizer, batch)
            state.losses.append(loss.item())
            state.last.append(loss)
            return loss

        return step

    mine, eager, _ = both(make)
    assert mine.losses == eager.losses
    assert len(mine.losses) == 4
    assert len(set(mine.losses)) == 4
    assert [float(one) for one in mine.last] == [float(one) for one in eager.last] == mine.losses[-2:]


def test_a_tensor_bound_to_a_name():
    def make(state, _):
        state.last = torch.zeros(())

        def step(model, optimizer, batch):
            state.last = train(model, optimizer, batch)
            return state.last * 1

        return step

    mine, eager, _ = both(make)
    assert torch.equal(mine.last, eager.last)
    assert not isinstance(mine.last, torch._subclasses.FakeTensor)


def test_an_own_scheduler_is_really_stepped():
    def make(state, optimizer):
        state.scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

        def step(model, optimizer, batch):
            loss = train(model, optimizer, batch)
            state.scheduler.step()
            return loss

        return step

    mine, eager, planned = both(make)
    assert mine.scheduler.state_dict() == eager.scheduler.state_dict()
    assert mine.scheduler.last_epoch == 4
    assert planned.optimizers[0].param_groups[0]["lr"] == 0.1 * 0.5**4


def test_a_scheduler_that_is_given_the_loss():
    def make(state, optimizer):
        state.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=10)

        def step(model, optimizer, batch):
            loss = train(model, optimizer, batch)
            state.scheduler.step(loss)
            return loss

        return step

    mine, eager, _ = both(make)
    assert float(mine.scheduler.best) == float(eager.scheduler.best)
    assert mine.scheduler.num_bad_epochs == eager.scheduler.num_bad_epochs
    assert mine.scheduler._last_lr == eager.scheduler._last_lr


def test_a_branch_on_a_counter_is_another_way():
    def make(state, _):
        state.count = 0

        def step(model, optimizer, batch):
            state.count += 1
            return train(model, optimizer, batch, 2.0 if state.count % 2 else 1.0)

        return step

    mine, eager, planned = both(make, count=6)
    assert mine.count == eager.count == 6
    assert len(planned._compiled) == 2


def refused(step):
    model = Model()
    with pytest.raises(CaptureError) as raised:
        capture_step(model, torch.optim.SGD(model.parameters(), lr=0.1), torch.randn(3, 4), step)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def refusals():
    window = collections.deque([0.0] * 3, maxlen=3)
    words, log, numbers, state = iter("abcdef"), {"last": "a"}, [1, 2, 3], Thing(first=None)
    kept = {"hidden": torch.zeros(3)}

    def takes(model, optimizer, batch):
        next(words)
        return train(model, optimizer, batch)

    def text(model, optimizer, batch):
        log["last"] += "b"
        return train(model, optimizer, batch)

    def shrinks(model, optimizer, batch):
        numbers.pop()
        return train(model, optimizer, batch)

    def grows(model, optimizer, batch):
        log[len(log)] = 1
        return train(model, optimizer, batch)

    def first(model, optimizer, batch):
        state.first = train(model, optimizer, batch)
        return state.first * 1

    def either(model, optimizer, batch):
        window.append(train(model, optimizer, batch))
        return window[-1] * 1

    def objects(model, optimizer, batch):
        numbers.append(Thing(count=1))
        return train(model, optimizer, batch)

    def keeps_a_gradient(model, optimizer, batch):
        hidden = (batch * 1).requires_grad_()
        hidden.retain_grad()
        loss = train(model, optimizer, hidden)
        kept["hidden"] = hidden
        return loss

    def returns_a_gradient(model, optimizer, batch):
        hidden = batch.clone().requires_grad_()
        return train(model, optimizer, hidden), hidden

    return {
        keeps_a_gradient: r"the step keeps in kept\['hidden'\] a tensor with a gradient of its own, which it has not",
        returns_a_gradient: r"the step returns a tensor with a gradient of its own, which it has not after a planned",
        takes: r"the step takes from the iterator words, which a planned step would not do again; do that outside",
        text: r"the step changes log\['last'\], which a planned step would not do again; do that outside",
        shrinks: r"the step takes entries out of numbers",
        grows: r"the step adds entries to log",
        either: r"the step changes window, which a planned step would not do again",
        first: r"the step makes state\.first in its first run and keeps it; run one eager step before",
        objects: r"the step puts a Thing into numbers\S*, which a planned step cannot make again; keep tensors and",
    }


@pytest.mark.parametrize(("step", "message"), refusals().items(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_planned_step_cannot_do_again_is_refused_by_name(step, message):
    assert re.search(message, refused(step))


def test_all_is_as_before_after_a_capture():
    state = Thing(count=3, losses=[1.0])
    scheduler = []

    def step(model, optimizer, batch):
        state.count += 1
        loss = train(model, optimizer, batch)
        state.losses.append(loss)
        scheduler[0].step()
        return loss

    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler.append(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5))
    before = copy.deepcopy(scheduler[0].state_dict())
    captured = capture_step(model, optimizer, torch.randn(3, 4), step)
    assert (state.count, state.losses) == (3, [1.0])
    assert scheduler[0].state_dict() == before
    assert "step" not in vars(scheduler[0])
    assert sorted(output.how for output in captured.trace.outputs) == ["append", "assign", "call", "return"]


def test_settings_that_are_tuples_are_written_back():
    """Adam's betas, warmed up in the step."""

    def trained(hooked):
        torch.manual_seed(0)
        model, batch = Model(), torch.randn(3, 4)
        optimizer = torch.optim.Adam(model.parameters())
        state = Thing(count=0)

        def step(model, optimizer, batch):
            state.count += 1
            loss = train(model, optimizer, batch)
            optimizer.param_groups[0]["betas"] = (1 - 1 / (2 + state.count), 0.99)
            return loss

        if hooked:
            plan = roam.profile(model, batch, optimizer, step=step).plan()
            hook = roam.hook(plan, model, optimizer, step=step, check="never")
        losses = [(hook(batch) if hooked else step(model, optimizer, batch)).item() for _ in range(4)]
        assert not hooked or hook.planned_steps >= 2, hook.reasons
        return losses, optimizer.param_groups[0]["betas"], model.linear.weight.tolist()

    assert trained(hooked=True) == trained(hooked=False)


@pytest.mark.parametrize("place", ["thing", "group"])
@pytest.mark.parametrize("check", ["first", "never"])
def test_a_tuple_of_a_word_and_a_number_is_written_back(place, check):
    """Also where it lies in an optimizer's group."""

    def trained(hooked):
        torch.manual_seed(0)
        model, batch = Model(), torch.randn(3, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        state = Thing(count=0, tag=("step", 0))
        optimizer.param_groups[0]["tag"] = ("step", 0)

        def step(model, optimizer, batch):
            state.count += 1
            if place == "thing":
                state.tag = ("step", state.count)
            else:
                optimizer.param_groups[0]["tag"] = ("step", state.count)
            return train(model, optimizer, batch)

        hook = step
        if hooked:
            plan = roam.profile(model, batch, optimizer, step=step).plan()
            hook = roam.hook(plan, model, optimizer, step=step, check=check)
        for _ in range(4):
            hook(batch) if hooked else step(model, optimizer, batch)
        if hooked and place == "thing":  # a group that changes so makes another branch of the update
            assert hook.planned_steps >= 2, hook.reasons
        return state.tag, optimizer.param_groups[0]["tag"], model.linear.weight.tolist()

    assert trained(hooked=True) == trained(hooked=False)
