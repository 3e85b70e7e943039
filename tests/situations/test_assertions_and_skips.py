"""Python branches on values: assertions on labels, steps skipped when something is not finite, GradScaler."""

import math

import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, PLANNED, Situation, compare
from tests.situations.models import adamw, classifier, data, mlp, slow_unless

CROSS = nn.functional.cross_entropy


def with_bad(batches, index, change):
    batches = list(batches)
    batches[index] = change(*batches[index])
    return batches


def check_by_raise(y):
    if y.max() >= 4:
        raise ValueError("labels are out of range")


def check_by_assert(y):
    assert bool((y >= 0).all()), "negative labels"
    assert y.max().item() < 4, "labels are out of range"


def check_by_any(y):
    if torch.any(y >= 4) or torch.any(y < 0):
        raise ValueError("labels are out of range")


def check_by_list(y):
    if max(y.tolist()) >= 4:
        raise ValueError("labels are out of range")


CHECKS = [check_by_raise, check_by_assert, check_by_any, check_by_list]


@pytest.mark.parametrize("check", CHECKS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("where", ["loss", "forward"])
def test_labels_are_asserted(check, where):
    slow_unless(where == "forward" or check is check_by_raise)

    class Checked(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x, y):
            check(y)
            return CROSS(self.net(x), y)

    def loss(model, batch):
        check(batch[1])
        return CROSS(model(batch[0]), batch[1])

    def make():
        if where == "loss":
            return classifier(loss=loss)
        model = Checked()
        return Situation(model, adamw(model), data())

    compare(make).must_be(HONEST if check is check_by_list else PLANNED)


@pytest.mark.parametrize("check", CHECKS[:3], ids=lambda f: f.__name__)
def test_a_bad_batch_raises_what_the_user_raises(check):
    """In the middle of the run; the user catches it and goes on."""

    def loss(model, batch):
        check(batch[1])
        return CROSS(model(batch[0]), batch[1])

    def make():
        return classifier(loss=loss, batches=with_bad(data(), 2, lambda x, y: (x, y + 4)))

    compare(make, steps=6, variants=2, raises=(ValueError, AssertionError)).must_be(PLANNED)


def finite_by_method(loss):
    return bool(torch.isfinite(loss))


def finite_by_item(loss):
    return math.isfinite(loss.item())


def finite_by_nan(loss):
    return not (torch.isnan(loss).any() or torch.isinf(loss).any())


@pytest.mark.parametrize("finite", [finite_by_method, finite_by_item, finite_by_nan], ids=lambda f: f.__name__)
@pytest.mark.parametrize("bad", [None, 0, 2])
def test_skipped_when_the_loss_is_not_finite(finite, bad):
    slow_unless(bad == 2 or finite is finite_by_method)

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = CROSS(model(batch[0]), batch[1])
        if not finite(loss):
            return loss.detach()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    def make():
        batches = data() if bad is None else with_bad(data(), bad, lambda x, y: (x * math.inf, y))
        return classifier(step=step, batches=batches)

    compare(make, steps=6, variants=1 if bad is None else 2).must_be(PLANNED)


def test_skipped_when_a_gradient_is_not_finite():
    """Forward is finite, backward is not: parameters, state and counters stay."""

    def step(model, optimizer, batch):
        loss = model(batch[0]).abs().sqrt().mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if torch.isfinite(norm):
            optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    def make():
        model = nn.Linear(12, 4, bias=False)
        batches = with_bad(data(), 3, lambda x, y: (x * 0, y))
        return Situation(model, adamw(model), batches, step=step)

    compare(make, steps=6, variants=2).must_be(PLANNED)


def test_clipping_that_raises_when_not_finite():
    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    def make():
        return classifier(step=step, batches=with_bad(data(), 2, lambda x, y: (x * math.inf, y)))

    compare(make, steps=6, variants=2, raises=RuntimeError).must_be(HONEST)


def scaled(dtype, optimizer, clip, scale, bad, enabled=True):
    """GradScaler as pytorch.org writes it, on the CPU."""

    def make():
        model = mlp()
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2, enabled=enabled)

        def step(model, optimizer, batch):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=dtype):
                loss = CROSS(model(batch[0]), batch[1])
            scaler.scale(loss).backward()
            if clip:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            return loss.detach()

        batches = data() if bad is None else with_bad(data(), bad, lambda x, y: (x * math.inf, y))
        return Situation(
            model, optimizer(model), batches, step=step, others={"scaler": scaler}, extra=scaler.state_dict
        )

    return make


SCALED = {
    "adamw": adamw,
    "fused": lambda m: adamw(m, fused=True),
    "sgd": lambda m: torch.optim.SGD(m.parameters(), 0.1),
}


@pytest.mark.parametrize("optimizer", SCALED)
@pytest.mark.parametrize("clip", [False, True], ids=["", "clip"])
@pytest.mark.parametrize(
    ("scale", "bad"), [(16.0, None), (2.0**22, None), (16.0, 3)], ids=["finite", "overflow first", "overflow later"]
)
def test_grad_scaler(optimizer, clip, scale, bad):
    """Overflow first: fp16 gradients overflow at this scale until it has shrunk."""
    slow_unless(optimizer != "sgd" and (bad == 3 or not clip))
    make = scaled(torch.float16, SCALED[optimizer], clip, scale, bad)
    compare(make, steps=8, variants=1 if scale == 16.0 and bad is None else 3).must_be(PLANNED)


def test_disabled_grad_scaler():
    compare(scaled(torch.bfloat16, adamw, False, 16.0, None, enabled=False)).must_be(PLANNED)


def test_loss_scale_of_the_users_own():
    """Halved on overflow, doubled every third step: a Python number that depends on values."""

    def make():
        state = {"scale": 1024.0, "good": 0}

        def step(model, optimizer, batch):
            loss = CROSS(model(batch[0]), batch[1])
            (loss * state["scale"]).backward()
            norm = sum(p.grad.square().sum() for p in model.parameters()).sqrt()
            if not torch.isfinite(norm):
                state["scale"] /= 2
                state["good"] = 0
            else:
                for p in model.parameters():
                    p.grad.div_(state["scale"])
                optimizer.step()
                state["good"] += 1
                if state["good"] % 3 == 0:
                    state["scale"] *= 2
            optimizer.zero_grad()
            return loss.detach()

        return classifier(step=step, batches=with_bad(data(), 3, lambda x, y: (x * math.inf, y)))

    compare(make, steps=8, variants=2).must_be(HONEST)
