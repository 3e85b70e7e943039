"""Training loops as people write them, hooked and eager side by side: every bit after every one of eight steps."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import roam_lab as roam
from tests.twins import apart_from

STEPS = 8
LENGTH = 4
"""Of a sequence: the GRU's ops are captured once a place."""


class Model(nn.Module):
    """A small language model with all that trips a hook: shared weights, dropout, normalization."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(32, 16)
        self.dropout = nn.Dropout(0.1)
        self.mix = nn.GRU(16, 16, batch_first=True)
        self.norm = nn.LayerNorm(16)

    def forward(self, ids):
        x = self.dropout(self.table(ids))
        return self.norm(x + self.mix(x)[0]) @ self.table.weight.t()


class Loop:
    """One way to train: `step` is hooked, the rest happens between the calls."""

    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        self.begin()

    def begin(self):
        pass

    def batches(self):
        return [torch.randint(0, 32, (4, LENGTH)) for _ in range(STEPS)]

    def loss(self, model, ids):
        return cross_entropy(model(ids).flatten(0, 1), ids.flatten())

    def step(self, model, optimizer, batch):
        loss = self.loss(model, batch)
        loss.backward()
        self.update(model, optimizer)
        return loss

    def update(self, model, optimizer):
        optimizer.step()
        optimizer.zero_grad()

    def after(self, call):
        pass


class HalfWithScaler(Loop):
    def begin(self):
        self.scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=3)

    def step(self, model, optimizer, batch):
        with torch.autocast("cpu", dtype=torch.float16):
            loss = self.loss(model, batch)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad()
        return loss


class Autocast(Loop):
    def step(self, model, optimizer, batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.loss(model, batch)
        loss.backward()
        self.update(model, optimizer)
        return loss


class ClippedByNorm(Loop):
    def update(self, model, optimizer):
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        super().update(model, optimizer)


class ClippedByValue(Loop):
    def update(self, model, optimizer):
        nn.utils.clip_grad_value_(model.parameters(), 0.05)
        super().update(model, optimizer)


class AccumulatesInOneStep(Loop):
    def step(self, model, optimizer, batch):
        total = 0.0
        for part in batch.chunk(2):
            loss = self.loss(model, part) / 2
            loss.backward()
            total = total + loss.detach()
        self.update(model, optimizer)
        return total


class AccumulatesOverCalls(Loop):
    def batches(self):
        return [(ids, call % 3 == 2) for call, ids in enumerate(super().batches())]

    def step(self, model, optimizer, batch):
        ids, last = batch
        loss = self.loss(model, ids) / 3
        loss.backward()
        if last:
            self.update(model, optimizer)
        return loss


class MovingAverage(Loop):
    def begin(self):
        self.average = torch.optim.swa_utils.AveragedModel(
            self.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
        )

    def step(self, model, optimizer, batch):
        loss = super().step(model, optimizer, batch)
        self.average.update_parameters(model)
        return loss


class AverageOutside(MovingAverage):
    def step(self, model, optimizer, batch):
        return Loop.step(self, model, optimizer, batch)

    def after(self, call):
        self.average.update_parameters(self.model)


class SchedulerOutside(Loop):
    def begin(self):
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.02, total_steps=STEPS + 1)

    def after(self, call):
        self.scheduler.step()


class SchedulerInside(SchedulerOutside):
    def step(self, model, optimizer, batch):
        loss = super().step(model, optimizer, batch)
        self.scheduler.step()
        return loss

    def after(self, call):
        pass


class Freezes(Loop):
    """And thaws: two stages of fine-tuning, and back."""

    def after(self, call):
        self.model.mix.requires_grad_(call not in (2, 3, 4))


class Evaluates(Loop):
    def after(self, call):
        self.model.eval()
        with torch.no_grad():
            self.seen = self.loss(self.model, torch.arange(2 * LENGTH).view(2, LENGTH))
        self.model.train()


class ChangesLengths(Loop):
    def batches(self):
        return [torch.randint(0, 32, (4, length)) for length in (LENGTH, 2, LENGTH, 3, 2, LENGTH, 3, 2)]


class LastIsSmaller(Loop):
    def batches(self):
        return [torch.randint(0, 32, (size, LENGTH)) for size in (4, 4, 4, 1, 4, 4, 4, 1)]


class SavesAndLoads(Loop):
    """Goes back to an earlier checkpoint in mid-training."""

    def after(self, call):
        if call == 2:
            self.saved = copy.deepcopy((self.model.state_dict(), self.optimizer.state_dict()))
        if call == 5:
            self.model.load_state_dict(self.saved[0])
            self.optimizer.load_state_dict(self.saved[1])


LOOPS = [
    Loop, HalfWithScaler, Autocast, ClippedByNorm, ClippedByValue, AccumulatesInOneStep, AccumulatesOverCalls,
    MovingAverage, AverageOutside, SchedulerOutside, SchedulerInside, Freezes, Evaluates, ChangesLengths, LastIsSmaller,
    SavesAndLoads,
]  # fmt: skip
QUICK = [HalfWithScaler, AccumulatesOverCalls, SchedulerInside, Freezes, LastIsSmaller]
FIRST_IS_EAGER = {HalfWithScaler: 1}
"""GradScaler makes its scale in its first step."""


def everything(loop):
    """All that training leaves: parameters, buffers, optimizer state, averages, rates, gradients."""
    yield from loop.model.state_dict().values()
    for state in loop.optimizer.state_dict()["state"].values():
        yield from (value for value in state.values() if isinstance(value, torch.Tensor))
    yield from (torch.tensor(group["lr"]) for group in loop.optimizer.param_groups)
    yield from getattr(loop, "average", nn.Module()).state_dict().values()
    yield from (torch.zeros(()) if one.grad is None else one.grad for one in loop.model.parameters())


@pytest.mark.parametrize("kind", apart_from(QUICK, LOOPS), ids=lambda kind: kind.__name__)
def test_a_loop(kind):
    torch.manual_seed(0)
    model = Model()
    eager, hooked = kind(copy.deepcopy(model)), kind(model)
    step = roam.hook(hooked.model, hooked.optimizer, step=hooked.step, cache=False)
    for call, batch in enumerate(eager.batches()):
        random = torch.get_rng_state()
        expected = eager.step(eager.model, eager.optimizer, batch)
        eager.after(call)
        torch.set_rng_state(random)
        loss = step(batch)
        hooked.after(call)
        assert torch.equal(loss, expected), f"loss of call {call}"
        for one, other in zip(everything(hooked), everything(eager), strict=True):
            assert torch.equal(one, other), f"state after call {call}"
    eager_steps = FIRST_IS_EAGER.get(kind, 0)
    assert (step.planned_steps, step.eager_steps) == (STEPS - eager_steps, eager_steps), step.reasons
