"""What a step reads and binds anew: tensors and numbers that it carries to the next step."""

import copy

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import capture_step
from roam_lab.capture.sources.carried import numbers_in, structure_of
from roam_lab.capture.sources.places import LeafPlace, ValuePlace
from roam_lab.errors import CaptureError
from tests.twins import sampled


class State:
    """`c`: what the step carries; `n`: its counter."""

    def __init__(self, carried):
        self.c, self.n, self.d, self.log = carried, 0, torch.zeros(6), []


def mean(state, y):
    state.c = 0.9 * state.c + 0.1 * y.detach().mean(0)
    return (y - state.c).square().mean()


def best(state, y):
    loss = (y - state.c.mean()).square().mean()
    state.c = torch.minimum(state.c, loss.detach())
    return loss


def in_a_branch(state, y):
    loss = y.square().mean() * (2 if state.c.sum() > 0.2 else 1)
    state.c = 0.5 * state.c + loss.detach()
    return loss


def in_a_tuple(state, y):
    loss = (y - state.c[0] * state.c[1]).square().mean()
    state.c = y.detach().mean(0), state.c[1] * 0.5
    return loss


def in_a_list(state, y):
    loss = (y - state.c[1]).square().mean()
    state.c[1] = y.detach().mean(0)
    return loss


def in_a_dict(state, y):
    loss = (y - state.c["mean"]).square().mean() * (1 + state.c["n"] / 10)
    state.n += 1
    state.c = {"mean": y.detach().mean(0), "n": state.n}
    return loss


def and_kept(state, y):
    loss = mean(state, y)
    state.log.append(state.c)
    return loss


def every_third(state, y):
    loss = (y - state.c).square().mean()
    state.n += 1
    if state.n % 3 == 0:
        state.c = y.detach().mean(0)
    return loss


def looks_at_the_shape(state, y):
    loss = y.square().mean() * (2 if len(state.c) != len(y) else 1)
    state.c = y.detach() * 1
    return loss


def starts_anew(state, y):
    if state.c.shape != y.shape:
        state.c = torch.zeros_like(y)
    loss = (y - state.c).square().mean()
    state.c = y.detach() * 1
    return loss


def number(state, y):
    loss = y.square().mean() * (1 + state.c[1] / 10)
    state.n += 1
    state.c = y.detach().mean(0), state.n
    return loss


def number_in_a_branch(state, y):
    loss = y.square().mean() * (2 if state.c[0] > 4 else 1)
    state.c = state.c[0] + 1, y.detach().mean(0)
    return loss


def read_number(state, y):
    loss = y.square().mean() * (1 + state.c[1] / 10)
    state.c = state.c[1], loss.item()
    return loss


def flag(state, y):
    loss = y.square().mean() * (2 if state.c[1] else 1)
    state.n += 1
    state.c = y.detach().mean(0), state.n >= 4
    return loss


def word(state, y):
    loss = (y - state.c[0]).square().mean() * (2 if state.c[1] == "late" else 1)
    state.c = y.detach().mean(0), state.c[1]
    return loss


def length(state, y):
    loss = y.square().mean() * len(state.c)
    state.c = y.detach().mean(0), y.detach().mean(1)
    return loss


def whether_it_is_there(state, y):
    loss = y.square().mean() * (2 if state.c is None else 1)
    state.c = y.detach().mean(0)
    return loss


def made(carried):
    """A model, its optimizer, the state, and the step of a function of these and the model's result."""
    torch.manual_seed(0)
    model = nn.Linear(6, 6)
    state = State(copy.deepcopy(carried))

    def step_of(loss_of):
        def step(model, optimizer, batch):
            loss = loss_of(state, model(batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    return model, torch.optim.SGD(model.parameters(), lr=0.1), state, step_of


def leaves(state):
    found = torch.utils._pytree.tree_leaves([state.c, state.n, state.log])
    return [one.tolist() if isinstance(one, torch.Tensor) else one for one in found]


zeros = torch.zeros(6)
SHORTER, LEFT = 5, 8
"""The steps whose batch is shorter, and before which the user changes the state."""
KINDS = {
    mean: (zeros, None),
    best: (torch.tensor(9.0), None),
    in_a_branch: (torch.zeros(()), None),
    in_a_tuple: ((zeros, zeros + 1), None),
    in_a_list: ([torch.ones(6), zeros], None),
    in_a_dict: ({"mean": zeros, "n": 0}, None),
    and_kept: (zeros, lambda _: torch.ones(6, 2)[:, 0]),
    every_third: (zeros, None),
    looks_at_the_shape: (torch.zeros(4, 6), None),
    starts_anew: (torch.zeros(4, 6), None),
    number: ((zeros, 0), None),
    number_in_a_branch: ((0, zeros), lambda was: (0, was[1])),
    read_number: ((0.0, 0.0), None),
    flag: ((zeros, False), None),
    word: ((zeros, "early"), lambda was: (was[0], "late")),
    length: ((zeros, zeros), lambda was: was[:1]),
    whether_it_is_there: (zeros, lambda _: None),
}


@pytest.mark.parametrize("loss_of", sampled(KINDS, 9), ids=lambda one: one.__name__)
def test_planned_steps_carry_what_eager_ones_do(loss_of):
    carried, by_the_user = KINDS[loss_of]
    model, optimizer, state, step_of = made(carried)
    twin, its_optimizer, its_state, its_step_of = made(carried)
    hook, step = roam.hook(model, optimizer, step=step_of(loss_of), check="never"), its_step_of(loss_of)
    held = []
    for index in range(10):
        batch = torch.randn(3 if index == SHORTER else 4, 6)
        if index == LEFT and by_the_user:
            state.c, its_state.c = by_the_user(state.c), by_the_user(its_state.c)
        held.append((state.c, copy.deepcopy(its_state.c)))
        assert torch.equal(hook(batch), step(twin, its_optimizer, batch)), index
        assert leaves(state) == leaves(its_state), index
    for ours, its in held:  # no later step has written into what an earlier one bound
        if isinstance(ours, torch.Tensor):
            assert torch.equal(ours, its)
    first_steps = 1 if loss_of is whether_it_is_there else 0
    assert (hook.planned_steps, hook.eager_steps) == (10 - first_steps, first_steps), hook.reasons


def writes(state, y):
    state.c.mul_(0.5)
    return mean(state, y)


def under_two_names(state, y):
    loss = (y - state.c - state.d).square().mean()
    state.c = state.d = y.detach().mean(0)
    return loss


def passes_on(state, y):
    loss = (y - state.c - state.d).square().mean()
    state.c, state.d = state.d, y.detach().mean(0)
    return loss


def grows(state, y):
    loss = (y - state.c.mean()).square().mean()
    state.c = torch.cat([state.c, y.detach().mean(0)])
    return loss


def keeps_its_graph(state, y):
    loss = (y - state.c.detach()).square().mean()
    state.c = y.mean(0)
    return loss


@pytest.mark.parametrize(
    ("loss_of", "carried", "sentence"),
    [
        (writes, zeros, "writes into it, too; write it in place alone"),
        (under_two_names, zeros, "binds one tensor to state.c and to state.d, and reads both in the next step"),
        (passes_on, zeros, "keeps in state.c a view of"),
        (grows, zeros, "reads the tensor state.c and binds another of another shape or kind to it; keep its shape"),
        (keeps_its_graph, zeros, r"binds a new one with its graph to it; bind it without (.detach())"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_would_not_be_carried_right_is_refused(loss_of, carried, sentence):
    model, optimizer, state, step_of = made(carried)
    before = state.c
    with pytest.raises(CaptureError) as refused:
        capture_step(model, optimizer, torch.randn(4, 6), step_of(loss_of))
    assert sentence in str(refused.value)
    assert state.c is before


@pytest.mark.parametrize("other", ["weight.data", "batch", "d"])
def test_a_tensor_that_is_something_else_too_is_not_carried(other):
    """Ops could write what others read."""
    model, optimizer, state, step_of = made(zeros)
    batch = torch.randn(6, 6)
    state.c = {"weight.data": model.weight.data[0], "batch": batch[0], "d": state.d}[other]

    def loss_of(state, y):
        state.d.add_(1)
        return mean(state, y)

    with pytest.raises(CaptureError, match=r"state\.c"):
        capture_step(model, optimizer, batch, step_of(loss_of))


def test_a_tensor_that_comes_to_share_memory_is_read_eagerly():
    model, optimizer, state, step_of = made(zeros)
    twin, its_optimizer, its_state, its_step_of = made(zeros)

    def loss_of(state, y):
        state.d.add_(1)
        return mean(state, y)

    hook, step = roam.hook(model, optimizer, step=step_of(loss_of), check="never"), its_step_of(loss_of)
    for index in range(6):
        batch = torch.randn(4, 6)
        if index == 3:
            state.c, its_state.c = state.d, its_state.d
        assert torch.equal(hook(batch), step(twin, its_optimizer, batch))
    assert (hook.planned_steps, hook.eager_steps) == (5, 1)


def test_numbers_in_what_is_bound_have_places():
    state = State({"a": [1, 2.5], "b": ("x", True, zeros)})
    place = ValuePlace(vars(state), "c", "state.c")
    found = numbers_in(place, state.c)
    assert [(one.path, one.read()) for one in found] == [("state.c['a'][0]", 1), ("state.c['a'][1]", 2.5)]
    found[1].write(7.0)
    assert state.c == {"a": [1, 7.0], "b": ("x", True, zeros)}
    with pytest.raises(KeyError, match=r"state\.c"):
        LeafPlace(vars(state), ("c", 9), "state.c").read()
    assert numbers_in(place, 3) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (zeros, torch.ones(3), True),
        (zeros, None, False),
        ((zeros, 1), (zeros, 2), False),
        ((zeros, 1), (zeros, True), False),
        ((zeros, 0.0), (zeros, -0.0), False),
        ((zeros, "a"), (zeros, "b"), False),
        ((zeros, zeros), [zeros, zeros], False),
        ({"a": zeros}, {"b": zeros}, False),
        ((zeros,), (zeros, zeros), False),
    ],
)
def test_structures_are_told_apart(one, other, same):
    assert (structure_of(one) == structure_of(other)) is same


def test_the_value_of_a_number_that_is_an_input_does_not_count():
    assert structure_of((zeros, 1, 5), {1}) == structure_of((zeros, 2, 5), {1}) != structure_of((zeros, 2, 6), {1})
