"""Gradients that live from one call to the next: accumulation over several calls, and those that the user reads."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import roam_lab as roam
from roam_lab.errors import InputError
from tests.twins import sampled

WINDOW = 3


def clipped(model, optimizer, batch):
    """Accumulates until the last batch of its window."""
    x, y, last = batch
    loss = cross_entropy(model(x), y) / WINDOW
    loss.backward()
    if last:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
    return loss


def never_cleared(model, optimizer, batch):
    loss = cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    optimizer.step()
    return loss


def zeroed(model, optimizer, batch):
    loss = never_cleared(model, optimizer, batch)
    optimizer.zero_grad(set_to_none=False)
    return loss


def backward_alone(model, optimizer, batch):
    loss = cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    return loss


def cleared_first(model, optimizer, batch):
    optimizer.zero_grad()
    return never_cleared(model, optimizer, batch)


def cleared_in_a_branch(model, optimizer, batch):
    if batch[2]:
        optimizer.zero_grad()
    return never_cleared(model, optimizer, batch)


def cleared_behind_a_return(model, optimizer, batch):
    if batch[2]:
        return never_cleared(model, optimizer, batch)
    model.zero_grad()
    return never_cleared(model, optimizer, batch)


def zeroed_first(model, optimizer, batch):
    """The first layer gets a gradient in every third call only, and is updated by zeros in the others."""
    optimizer.zero_grad(set_to_none=False)
    hidden = model[2](model[1](model[0](batch[0])))
    loss = cross_entropy(model[3](hidden if batch[2] else hidden.detach()), batch[1])
    loss.backward()
    optimizer.step()
    return loss


def zeroed_by_hand(model, optimizer, batch):
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.detach_()
            parameter.grad.zero_()
    return never_cleared(model, optimizer, batch)


def half_of_it(model, optimizer, batch):
    """The first layer gets a gradient in every other call only."""
    x, y, last = batch
    hidden = model[2](model[1](model[0](x)))
    loss = cross_entropy(model[3](hidden if last else hidden.detach()), y)
    loss.backward()
    if last:
        optimizer.step()
        optimizer.zero_grad()
    return loss


def nothing(model, optimizer, call):
    pass


def zero_grad(model, optimizer, call):
    optimizer.zero_grad()


def clear_now_and_then(model, optimizer, call):
    if call % 3 == 0:
        model.zero_grad()


def update(model, optimizer, call):
    optimizer.step()
    optimizer.zero_grad()


def scale(model, optimizer, call):
    """A user's own clipping between calls, in place and not."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(0.5)
            if call % 2:
                parameter.grad = parameter.grad * 2


class Twice:
    """The same model and optimizer, to be trained eagerly and hooked."""

    def __init__(self, make=lambda parameters: torch.optim.AdamW(parameters, lr=0.01)):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.GELU(), nn.Linear(8, 5))
        self.twin = copy.deepcopy(self.model)
        self.optimizer, self.other = make(self.model.parameters()), make(self.twin.parameters())

    def train(self, step, batches, between=nothing, keep_grads=False, before=lambda call: None, **options):
        """Hooked and eager, compared after every call: results, parameters, gradients that stay. Returns the hook."""
        before(0)
        profile = roam.profile(self.model, batches[0], self.optimizer, step=step, keep_grads=keep_grads)
        hooked = roam.hook(profile.plan(), self.model, self.optimizer, step=step, keep_grads=keep_grads, **options)
        eager_random, planned_random = torch.get_rng_state(), torch.get_rng_state()
        for call, batch in enumerate(batches):
            before(call)
            torch.set_rng_state(eager_random)
            expected = step(self.twin, self.other, batch)
            between(self.twin, self.other, call)
            eager_random = torch.get_rng_state()
            torch.set_rng_state(planned_random)
            result = hooked(batch)
            between(self.model, self.optimizer, call)
            planned_random = torch.get_rng_state()
            assert torch.equal(result, expected)
            assert not result.requires_grad
            assert torch.equal(eager_random, planned_random)
            for one, other in zip(self.model.parameters(), self.twin.parameters(), strict=True):
                assert torch.equal(one, other)
                if keep_grads is not False or step is not cleared_first:
                    assert (one.grad is None) == (other.grad is None)
                    assert one.grad is None or torch.equal(one.grad, other.grad)
        return hooked


def batches(count=12):
    torch.manual_seed(3)
    return [(torch.randn(4, 6), torch.randint(0, 5, (4,))) for _ in range(count)]


def windows(count=12):
    return [(*batch, index % WINDOW == WINDOW - 1) for index, batch in enumerate(batches(count))]


OPTIMIZERS = {
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
    "fused": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, fused=True),
    "foreach": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, foreach=True),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
}


@pytest.mark.parametrize("make", sampled(OPTIMIZERS.values(), 1), ids=OPTIMIZERS)
def test_accumulation_over_calls(make):
    hooked = Twice(make).train(clipped, windows(), on_mismatch="error")
    assert (hooked.planned_steps, hooked.eager_steps) == (12, 0)


def test_the_switch_may_be_an_attribute():
    """As Accelerate's and Lightning's are."""
    state = SimpleNamespace(last=False)

    def step(model, optimizer, batch):
        return clipped(model, optimizer, (*batch, state.last))

    def before(call):
        state.last = call % WINDOW == WINDOW - 1

    hooked = Twice().train(step, batches(), before=before)
    assert (hooked.planned_steps, hooked.reasons) == (12, {})


@pytest.mark.parametrize(
    ("step", "between"),
    [
        (never_cleared, clear_now_and_then),
        (zeroed, nothing),
        (backward_alone, scale),
        (cleared_first, zero_grad),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                (never_cleared, nothing),
                (never_cleared, zero_grad),
                (never_cleared, scale),
                (backward_alone, update),
                (cleared_first, nothing),
            )
        ),
    ],
    ids=lambda one: one.__name__,
)
def test_what_is_left_is_what_eager_leaves(step, between):
    hooked = Twice().train(step, batches(8), between)
    assert (hooked.planned_steps, hooked.reasons) == (8, {})


def test_a_parameter_may_get_its_first_gradient_in_any_call():
    hooked = Twice().train(half_of_it, windows())
    assert (hooked.planned_steps, hooked.reasons) == (12, {})


@pytest.mark.parametrize(
    "step",
    sampled([cleared_in_a_branch, cleared_behind_a_return, zeroed_first, zeroed_by_hand], 1),
    ids=lambda one: one.__name__,
)
def test_what_a_later_call_may_use_is_left(step):
    """One that goes another way than the call before it."""
    hooked = Twice().train(step, windows(7), check="never")
    assert hooked.planned_steps >= 6


def test_gradients_and_results_are_no_views():
    """Eager's are none, and `detach_` refuses views."""
    twice = Twice()
    hooked = twice.train(never_cleared, batches(2))
    hooked(batches(1)[0]).detach_()
    for parameter in twice.model.parameters():
        parameter.grad.detach_()
    hooked((*batches(1)[0][:1], torch.zeros(4, 5).softmax(1))).detach_()  # another batch, eagerly
    assert hooked.eager_steps == 1


@pytest.mark.parametrize("keep", [True, ["0.weight", "3.bias"], "0.bias"], ids=str)
def test_gradients_that_the_user_reads(keep):
    twice = Twice()
    step, names = cleared_first, keep if isinstance(keep, list) else [keep]
    profile = roam.profile(twice.model, batches(1)[0], twice.optimizer, step=step, keep_grads=keep)
    hooked = roam.hook(profile.plan(), twice.model, twice.optimizer, step=step, keep_grads=keep, on_mismatch="error")
    for batch in batches(3):
        before = torch.get_rng_state()
        hooked(batch)
        torch.set_rng_state(before)
        step(twice.twin, twice.other, batch)
        for (name, one), other in zip(twice.model.named_parameters(), twice.twin.parameters(), strict=True):
            if keep is True or name in names:
                assert torch.equal(one.grad, other.grad)
            else:
                assert one.grad is None
    assert hooked.planned_steps == 3


def test_what_is_kept_is_no_part_of_the_arena():
    """It is the user's, and no later step writes to it."""
    twice = Twice()
    hooked = twice.train(cleared_first, batches(2), keep_grads=True)
    kept = [parameter.grad for parameter in twice.model.parameters()]
    values = [one.clone() for one in kept]
    hooked(batches(3)[2])
    assert all(map(torch.equal, kept, values))


def test_an_accumulating_step_takes_no_more_memory_than_eagerly():
    torch.manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(256, 256), nn.GELU())])

    def step(model, optimizer, x):
        loss = model(x).square().mean()
        loss.backward()
        return loss

    profile = roam.profile(model, torch.randn(16, 256), torch.optim.AdamW(model.parameters()), step=step)
    plan = profile.plan()
    assert plan.peak_bytes <= profile.captured_peak_bytes
    gradients = sum(parameter.nbytes for parameter in model.parameters())
    assert plan.arena_bytes < 1.1 * plan.peak_bytes < 1.5 * gradients  # held once, not copied


def test_a_name_that_is_no_parameter():
    twice = Twice()
    with pytest.raises(InputError, match=r"there is no parameter '0\.heavy'; give names as in model\.named_parameters"):
        roam.profile(twice.model, batches(1)[0], twice.optimizer, step=cleared_first, keep_grads=["0.heavy"])


def test_gradients_are_checked_too(monkeypatch):
    """A gradient that stays and is not eager's keeps the hook eager."""
    from roam_lab.runtime.compiled import Compiled

    apply = Compiled._apply

    def wrong(self, values, batch):
        result = apply(self, values, batch)
        self._tree.tensor("0.weight").grad[0, 0] += 1
        return result

    monkeypatch.setattr(Compiled, "_apply", wrong)
    twice = Twice()
    with pytest.warns(roam.RoamWarning, match=r"not the eager step, bit for bit: the gradient of 0\.weight"):
        hooked = twice.train(backward_alone, batches(3), update)
    assert (hooked.planned_steps, hooked.eager_steps) == (0, 3)


def test_verify_of_an_accumulating_step():
    twice = Twice()
    batch = batches(1)[0]
    plan = roam.profile(twice.model, batch, twice.optimizer, step=never_cleared).plan()
    assert roam.verify(plan, twice.model, twice.optimizer, batch, step=never_cleared, steps=3).identical
