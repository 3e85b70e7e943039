"""Learning rates that change: by schedulers in the step and between steps, and by hand."""

import math
import types

import pytest
import torch

from tests.situations.judge import HONEST, PLANNED, REFUSED, compare
from tests.situations.models import classifier, mlp, sgd, slow_unless, stepping

SCHEDULE = torch.optim.lr_scheduler


def ramp(n):
    return min(1.0, (n + 1) / 4)


SCHEDULERS = {
    "LambdaLR": lambda o: SCHEDULE.LambdaLR(o, ramp),
    "StepLR": lambda o: SCHEDULE.StepLR(o, 2, 0.5),
    "CosineAnnealingLR": lambda o: SCHEDULE.CosineAnnealingLR(o, 4),
    "CosineAnnealingWarmRestarts": lambda o: SCHEDULE.CosineAnnealingWarmRestarts(o, 2),
    "OneCycleLR": lambda o: SCHEDULE.OneCycleLR(o, 0.1, total_steps=20),
    "CyclicLR": lambda o: SCHEDULE.CyclicLR(o, 1e-3, 1e-1, step_size_up=2),
    "SequentialLR": lambda o: SCHEDULE.SequentialLR(
        o, [SCHEDULE.LinearLR(o, 0.1, 1.0, 2), SCHEDULE.ExponentialLR(o, 0.5)], [2]
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_scheduler_in_the_step(kind):
    slow_unless(kind in ("LambdaLR", "OneCycleLR", "CosineAnnealingLR"))

    def make():
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
        scheduler = SCHEDULERS[kind](optimizer)
        step = stepping(lambda loss: scheduler.step())
        return classifier(model, optimizer, step=step, others={"scheduler": scheduler})

    compare(make, steps=6).must_be(HONEST)


@pytest.mark.parametrize("by", ["loss", "item"])
def test_plateau_in_the_step(by):
    """ReduceLROnPlateau asks whether the loss is the best so far."""

    def make():
        model = mlp()
        optimizer = sgd(model)
        scheduler = SCHEDULE.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        step = stepping(lambda loss: scheduler.step(loss.item() if by == "item" else loss.detach()))
        return classifier(model, optimizer, step=step, others={"scheduler": scheduler})

    compare(make, steps=8, variants=3).must_be(HONEST)


@pytest.mark.parametrize("kind", ["LambdaLR", "OneCycleLR"])
def test_scheduler_between_steps(kind):
    def make():
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
        return classifier(model, optimizer, others={"scheduler": SCHEDULERS[kind](optimizer)})

    right = PLANNED if kind == "LambdaLR" else HONEST  # OneCycleLR moves the momentum as well
    compare(make, steps=6, between=lambda made, i: made.others["scheduler"].step()).must_be(right)


def test_plateau_between_steps():
    def make():
        model = mlp()
        optimizer = sgd(model)
        return classifier(model, optimizer, others={"scheduler": SCHEDULE.ReduceLROnPlateau(optimizer, patience=1)})

    compare(make, steps=6, between=lambda made, i: made.others["scheduler"].step(1.0)).must_be(PLANNED)


def test_learning_rate_by_hand_in_the_step():
    def make():
        state = {"n": 0}

        def step(model, optimizer, batch):
            state["n"] += 1
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 * math.cos(state["n"] / 10)
            return stepping()(model, optimizer, batch)

        return classifier(step=step)

    compare(make).must_be(HONEST)


@pytest.mark.parametrize("reads", ["count", "length"])
def test_a_function_that_reads_what_the_step_changes(reads):
    """The count is the step's own; the length of the warm-up beside it stays as it is."""

    def make():
        at = types.SimpleNamespace(count=0, length=4)
        functions = {
            "count": lambda epoch: min(1.0, (epoch + 1 + at.count) / 8),
            "length": lambda epoch: min(1.0, (epoch + 1) / at.length),
        }
        model = mlp()
        optimizer = sgd(model)
        scheduler = SCHEDULE.LambdaLR(optimizer, functions[reads])

        def after(loss):
            at.count += 1
            scheduler.step()

        return classifier(model, optimizer, step=stepping(after), others={"scheduler": scheduler, "at": at})

    verdict = compare(make, check="never").must_be(REFUSED if reads == "count" else PLANNED)
    assert reads == "length" or "changes at.count, which a function of a scheduler" in verdict.why
