"""What a step reaches beside its inputs: used where it lies, never touched by capture, or refused."""

import copy
import random

import numpy
import pytest
import torch
from torch import nn

from roam_lab.capture import as_step, capture_step
from roam_lab.errors import CaptureError, FirstStepError
from roam_lab.plan import make_plan
from roam_lab.runtime import hook


def mean_square(model, batch):
    return model(batch).pow(2).mean()


class Module(nn.Module):
    """A linear layer and whatever `act(self, y)` does."""

    def __init__(self, act, **attributes):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.act = act
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.act(self, self.linear(x))


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def planned_like_eager(model, twin, batch, step=None, twin_step=None, between=None, count=3):
    """Losses and all values of both; `between(model)` is done to both after every step."""
    step, twin_step = step or as_step(mean_square), twin_step or step or as_step(mean_square)
    optimizer, twin_optimizer = sgd(model), sgd(twin)
    planned = hook(make_plan(capture_step(model, optimizer, batch, step).graph), model, optimizer, step=step)
    for _ in range(count):
        assert torch.equal(planned(batch), twin_step(twin, twin_optimizer, batch))
        for one in (model, twin):
            if between:
                between(one)
    for one, other in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert len(planned._compiled) == 1
    return planned


def test_an_average_of_the_weights_kept_by_the_step():
    torch.manual_seed(0)
    model, batch = nn.Linear(4, 4), torch.randn(3, 4)
    twin = copy.deepcopy(model)
    averages = [copy.deepcopy(model) for _ in range(2)]

    def step_with(average):
        def step(model, optimizer, batch):
            loss = mean_square(model, batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            with torch.no_grad():
                for kept, p in zip(average.parameters(), model.parameters(), strict=True):
                    kept.mul_(0.9).add_(p, alpha=0.1)
            return loss.detach()

        return step

    before = [p.clone() for p in averages[0].parameters()]
    capture_step(model, sgd(model), batch, step_with(averages[0]))
    assert all(map(torch.equal, averages[0].parameters(), before))
    planned_like_eager(model, twin, batch, step_with(averages[0]), step_with(averages[1]))
    assert all(map(torch.equal, averages[0].parameters(), averages[1].parameters()))
    assert not torch.equal(averages[0].weight, before[0])


def test_a_tensor_that_a_module_holds_is_written_in_place():
    def count(self, y):
        self.count += 1
        return y + self.count

    model = Module(count, count=torch.zeros(4))
    twin = copy.deepcopy(model)
    planned_like_eager(model, twin, torch.randn(3, 4))
    assert torch.equal(model.count, torch.full((4,), 3.0))


def test_a_tensor_that_the_user_replaces_between_steps():
    model = Module(lambda self, y: y * self.scale, scale=torch.ones(4))
    twin = copy.deepcopy(model)

    def replaced(one):
        one.scale = one.scale * 2

    planned_like_eager(model, twin, torch.randn(3, 4), between=replaced)


def test_a_tensor_made_in_the_first_forward_is_not_left_fake():
    def cached(self, y):
        if self.mask is None:
            self.mask = torch.ones(4).cumsum(0)
            self.calls.append(y)
        return y * self.mask

    model = Module(cached, mask=None, calls=[])
    twin, batch = copy.deepcopy(model), torch.randn(3, 4)
    with pytest.raises(
        FirstStepError, match=r"^the step makes model\.mask in its first run and keeps it; run one eager"
    ):
        capture_step(model, sgd(model), batch, as_step(mean_square))
    assert model.mask is None
    assert model.calls == []
    for one in (model, twin):
        as_step(mean_square)(one, sgd(one), batch)
    planned_like_eager(model, twin, batch)
    assert torch.equal(model.mask, torch.ones(4).cumsum(0))
    assert len(model.calls) == len(twin.calls) == 1


@pytest.mark.skipif(torch.__version__ < "2.13", reason="older torch cannot trace an op that is given a generator")
def test_a_random_generator_of_the_users_own():
    def noisy(self, y):
        return y * torch.rand(4, generator=self.source)

    model, twin = (Module(noisy, source=torch.Generator().manual_seed(3)) for _ in range(2))
    twin.load_state_dict(model.state_dict())
    planned_like_eager(model, twin, torch.randn(3, 4))
    assert torch.equal(model.source.get_state(), twin.source.get_state())


def test_hooks_on_parameters_are_kept():
    model, batch = nn.Linear(4, 4), torch.randn(3, 4)
    twin = copy.deepcopy(model)
    for one in (model, twin):
        one.weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))
    planned_like_eager(model, twin, batch)


def test_a_gradient_scaler_that_has_run_before():
    torch.manual_seed(0)
    model, batch = nn.Linear(4, 4), torch.randn(3, 4)
    twin = copy.deepcopy(model)

    def step_with(scaler):
        def step(model, optimizer, batch):
            loss = mean_square(model, batch)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            return loss.detach()

        return step

    def fused(model):
        return torch.optim.AdamW(model.parameters(), fused=True)

    scalers = [torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2) for _ in range(2)]
    first, second = map(step_with, scalers)
    optimizer, twin_optimizer = fused(model), fused(twin)
    with pytest.raises(CaptureError, match=r"the step makes scaler\._scale in its first run and keeps it"):
        capture_step(model, optimizer, batch, first)
    assert scalers[0]._scale is None
    assert torch.equal(first(model, optimizer, batch), second(twin, twin_optimizer, batch))
    planned = hook(make_plan(capture_step(model, optimizer, batch, first).graph), model, optimizer, step=first)
    for _ in range(3):
        assert torch.equal(planned(batch), second(twin, twin_optimizer, batch))
    assert len(planned._compiled) == 1
    assert torch.equal(scalers[0]._scale, scalers[1]._scale)
    assert scalers[0]._scale == 32
    assert torch.equal(model.weight, twin.weight)


def refused(model, batch=None, step=None):
    with pytest.raises(CaptureError) as raised:
        capture_step(model, sgd(model), torch.randn(3, 4) if batch is None else batch, step or as_step(mean_square))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_gradients_and_flags_of_parameters_that_the_step_knows_by_itself_are_put_back():
    """As gradients of earlier calls, which a later one scales."""
    torch.manual_seed(0)
    model, batch = nn.Linear(4, 4), torch.randn(3, 4)
    held = list(model.parameters())

    def step(model, optimizer, batch):
        loss = mean_square(model, batch)
        loss.backward()
        for parameter in held:
            parameter.grad = parameter.grad / 2
        held[1].requires_grad_(False)
        optimizer.step()
        return loss.detach()

    before = [torch.ones_like(parameter) for parameter in held]
    for parameter, gradient in zip(held, before, strict=True):
        parameter.grad = gradient
    capture_step(model, sgd(model), batch, step, adds=True)
    assert all(parameter.grad is gradient for parameter, gradient in zip(held, before, strict=True))
    assert all(torch.equal(gradient, torch.ones_like(gradient)) for gradient in before)
    assert all(parameter.requires_grad for parameter in held)


def test_refuses_a_gradient_outside_the_model():
    head = nn.Linear(4, 1)
    message = refused(nn.Linear(4, 4), step=as_step(lambda model, batch: head(model(batch)).sum()))
    assert "the loss has a gradient for a tensor of shape (1, 4) outside the model; put it into the model" in message
    assert all(p.grad is None for p in head.parameters())


FOR_EVER = "and a captured step would use the same number for ever; draw with torch"
NOT_AGAIN = "draws from the random generator draw.__self__, which a planned step would not do again; do that outside"
DRAWS = [
    (random.random, NOT_AGAIN),
    (numpy.random.rand, NOT_AGAIN),
    (lambda: random.random(), FOR_EVER),
    (lambda: numpy.random.rand(), FOR_EVER),
]


@pytest.mark.parametrize(("draw", "message"), DRAWS)
def test_refuses_random_numbers_that_are_not_torchs(draw, message):
    model = Module(lambda self, y: y * 2 if draw() < 0.5 else y)
    states = random.getstate(), numpy.random.get_state()[2]
    assert message in refused(model)
    assert (random.getstate(), numpy.random.get_state()[2]) == states


class Opaque:
    def __init__(self, x):
        self.x = x


@pytest.mark.parametrize("batch", [Opaque(torch.ones(2)), {"x": numpy.ones(2)}, [(torch.ones(2), Opaque(1))]])
def test_refuses_batches_that_hide_data(batch):
    assert "whose contents would be frozen into the plan; give tensors in dicts, lists and tuples" in refused(
        nn.Linear(4, 4), batch
    )


def test_a_refused_step_counts_once_on_its_batch():
    """The attribute that it sets on a tensor of the batch is put back before the step runs again."""
    model, batch = nn.Linear(4, 2), torch.randn(3, 4)

    def step(model, optimizer, batch):
        batch.seen = getattr(batch, "seen", 0) + 1
        return mean_square(model, batch)

    planned = hook(None, model, sgd(model), step=step, check="never")
    for seen in (1, 2, 3):
        planned(batch)
        assert batch.seen == seen
    assert "sets the attribute .seen of a tensor of its batch" in next(iter(planned.reasons))
