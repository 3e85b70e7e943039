"""Batches of other shapes, gradients accumulated and left, optimizers in hooks of the backward pass."""

import pytest
import torch
from torch import nn

from tests.situations.judge import GRADIENTS, HONEST, PLANNED, Situation, compare
from tests.situations.models import classifier, data, mlp, sgd, slow_unless

CROSS = nn.functional.cross_entropy


NOT_ALL = {"eager", "planned"}


@pytest.mark.parametrize("on_mismatch", ["eager", "error", "replan"])
def test_last_batch_smaller(on_mismatch):
    right = {"eager": {"eager", "planned"}, "error": {"refused"}, "replan": PLANNED}[on_mismatch]
    batches = data(3) + data(1, rows=5)
    compare(lambda: classifier(batches=batches), steps=8, on_mismatch=on_mismatch, variants=2).must_be(right)


@pytest.mark.parametrize("on_mismatch", ["eager", "replan"])
def test_variable_lengths(on_mismatch):
    """Token batches of four lengths, twice round."""

    class LM(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.head = nn.Embedding(20, 12), nn.Linear(12, 20)
            self.layer = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True, dropout=0.1)

        def forward(self, ids):
            return CROSS(self.head(self.layer(self.emb(ids)))[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    def make():
        model, g = LM(), torch.Generator().manual_seed(3)
        batches = [torch.randint(0, 20, (4, n), generator=g) for n in (9, 6, 12, 3)]
        return Situation(model, sgd(model), batches)

    right = PLANNED if on_mismatch == "replan" else NOT_ALL
    compare(make, steps=8, on_mismatch=on_mismatch, variants=4).must_be(right)


@pytest.mark.parametrize("shape", ["one row", "no rows", "one dimension more", "other dtype"])
def test_odd_batches_in_the_middle(shape):
    def make():
        batches = data(6)
        x, y = batches[3]
        batches[3] = {
            "one row": (x[:1], y[:1]),
            "no rows": (x[:0], y[:0]),
            "one dimension more": (x[:, None].expand(8, 1, 12).transpose(1, 2).mT.squeeze(1), y),
            "other dtype": (x.double(), y),
        }[shape]
        return classifier(batches=batches)

    compare(make, steps=6, raises=RuntimeError).must_be(HONEST)


def windows(first, every=3, set_to_none=True):
    """One call a micro-batch; every third one steps. A counter decides."""

    class Trainer:
        def __init__(self):
            self.n = 0

        def __call__(self, model, optimizer, batch):
            if first and self.n % every == 0:
                optimizer.zero_grad(set_to_none=set_to_none)
            loss = CROSS(model(batch[0]), batch[1]) / every
            loss.backward()
            self.n += 1
            if self.n % every == 0:
                optimizer.step()
                if not first:
                    optimizer.zero_grad(set_to_none=set_to_none)
            return loss.detach()

    return Trainer()


@pytest.mark.parametrize("first", [True, False], ids=["cleared first", "cleared last"])
@pytest.mark.parametrize("set_to_none", [True, False], ids=["none", "zero"])
@pytest.mark.parametrize("fake", [False, True], ids=["", "fake"])
def test_accumulation_across_calls(first, set_to_none, fake):
    slow_unless(set_to_none)
    compare(lambda: classifier(step=windows(first, set_to_none=set_to_none)), steps=8, fake=fake).must_be(HONEST)


@pytest.mark.parametrize("fake", [False, True], ids=["", "fake"])
def test_accumulation_within_a_step(fake):
    def step(model, optimizer, batch):
        total = torch.zeros(())
        for x, y in zip(batch[0].chunk(4), batch[1].chunk(4), strict=True):
            loss = CROSS(model(x), y) / 4
            loss.backward()
            total += loss.detach()
        optimizer.step()
        optimizer.zero_grad()
        return total

    compare(lambda: classifier(step=step), fake=fake).must_be(PLANNED)


@pytest.mark.parametrize(
    "how", ["backward only", "forward only", "step only", "cleared first", "zeroed", "never cleared"]
)
def test_gradients_that_stay(how):
    """Steps that leave gradients, or find them."""

    def step(model, optimizer, batch):
        if how == "cleared first":
            optimizer.zero_grad()
        loss = CROSS(model(batch[0]), batch[1])
        if how not in ("forward only", "step only"):
            loss.backward()
        if how not in ("backward only", "forward only"):
            optimizer.step()
        if how == "zeroed":
            optimizer.zero_grad(set_to_none=False)
        return loss.detach()

    compare(lambda: classifier(step=step), ignore=GRADIENTS if how == "cleared first" else "").must_be(HONEST)


@pytest.mark.parametrize("how", ["one each", "all in one", "galore"])
def test_optimizer_in_the_backward_pass(how):
    """An optimizer a parameter, stepped in a hook when its gradient is there."""

    def make():
        model = mlp()
        each = {p: torch.optim.SGD([p], lr=0.05, momentum=0.9) for p in model.parameters()}

        def update(p):
            if how == "galore":
                p.grad = p.grad.clamp(-0.1, 0.1)
            each[p].step()
            each[p].zero_grad()

        for p in model.parameters():
            p.register_post_accumulate_grad_hook(update)

        def step(model, optimizer, batch):
            loss = CROSS(model(batch[0]), batch[1])
            loss.backward()
            return loss.detach()

        every = tuple(each.values())
        given = every if how != "one each" else every[0]
        return Situation(model, given, data(), step=step, others={f"o{i}": o for i, o in enumerate(every)})

    verdict = compare(make).must_be(HONEST)
    assert "does not accept this batch" not in verdict.sentence
