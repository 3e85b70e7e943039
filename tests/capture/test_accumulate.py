"""Gradients are added in place where eager's engine does, and nowhere else."""

import copy

import torch
from torch import nn

from roam_lab.capture import as_step, capture_step
from roam_lab.plan import make_plan
from roam_lab.runtime import hook
from roam_lab.runtime.identity import digest, digests
from tests.zoo import STEPS, adamw, tiny

ADDED, ADDED_NEW = "aten.add_.Tensor", "aten.add.Tensor"


def step_of(loss):
    return as_step(lambda model, batch: loss(model, batch).sum())


def additions(model, batch, step):
    found = capture_step(model, torch.optim.SGD(model.parameters(), lr=0.1), batch, step)
    return [op.target for op in found.graph.ops if op.phase == "backward" and op.target in (ADDED, ADDED_NEW)]


def identical(model, batch, step):
    """Three planned steps leave what three eager steps leave."""
    twin = copy.deepcopy(model)
    optimizer, twin_optimizer = adamw(model.parameters()), adamw(twin.parameters())
    planned = hook(make_plan(capture_step(model, optimizer, batch, step).graph), model, optimizer, step=step)
    random = torch.get_rng_state()
    losses = [digest(planned(batch)) for _ in range(3)]
    torch.set_rng_state(random)
    assert losses == [digest(step(twin, twin_optimizer, batch)) for _ in range(3)]
    assert digests(model, optimizer) == digests(twin, twin_optimizer)


class Square(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.function = function

    def forward(self, x):
        return self.function(self.weight, x)


def test_a_weight_used_twice_is_added_in_place():
    model, batch, step = Square(lambda w, x: (x @ w).tanh() @ w), torch.randn(3, 4), step_of(lambda m, b: m(b))
    assert additions(model, batch, step) == [ADDED]
    identical(model, batch, step)


def test_a_sum_keeps_eagers_order():
    """a + b and b + a are the same bits, so either may be the target; three terms keep their order."""
    model = Square(lambda w, x: ((x @ w).tanh() @ w).sigmoid() @ w)
    batch, step = torch.randn(3, 4), step_of(lambda m, b: m(b))
    assert additions(model, batch, step) == [ADDED, ADDED]
    identical(model, batch, step)


def test_the_users_own_addition_in_forward_stays():
    model, batch = Square(lambda w, x: (x @ w) + (x * 2)), torch.randn(3, 4)
    step = step_of(lambda m, b: m(b))
    found = capture_step(model, torch.optim.SGD(model.parameters()), batch, step)
    assert [op.target for op in found.graph.ops if op.phase == "forward"].count(ADDED_NEW) == 1


def test_not_into_a_tensor_that_is_read_later():
    """y = x + x: its gradient is needed as it is by both of its own consumers."""

    class Kept(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            doubled = gradient * 2
            later = doubled + gradient  # neither may be written: both are read below
            return later * doubled * gradient

    model, batch = Square(lambda w, x: Kept.apply((x @ w).tanh())), torch.randn(3, 4)
    step = step_of(lambda m, b: m(b) * b)
    assert additions(model, batch, step) == [ADDED_NEW]
    identical(model, batch, step)


def test_not_into_what_forward_made():
    class Saved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            kept = x.exp()
            ctx.save_for_backward(kept)
            return kept.clone()

        @staticmethod
        def backward(ctx, gradient):
            return ctx.saved_tensors[0] + gradient.expand_as(gradient)

    model, batch = Square(lambda w, x: Saved.apply(x @ w)), torch.randn(3, 4)
    step = as_step(lambda m, b: m(b).sum())  # the gradient is an expanded 1: not dense, never a target
    assert additions(model, batch, step) == [ADDED_NEW]
    identical(model, batch, step)


def test_not_across_types():
    class Mixed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return (gradient * 3 + gradient.double() / 3).float() + gradient.bfloat16() * 2

    model, batch = Square(lambda w, x: Mixed.apply((x @ w).tanh())), torch.randn(3, 4)
    step = step_of(lambda m, b: m(b) * b)
    assert additions(model, batch, step) == [ADDED_NEW, ADDED_NEW]
    identical(model, batch, step)


def test_accumulation_over_micro_batches():
    model, batch, _ = tiny()
    model.eval()
    found = capture_step(model, adamw(model.parameters()), batch, STEPS["accumulation"])
    added = [op for op in found.graph.ops if op.phase == "backward" and op.target in (ADDED, ADDED_NEW)]
    assert {op.target for op in added} == {ADDED}
    assert not any(op.creates for op in added)
    identical(model, batch, STEPS["accumulation"])
