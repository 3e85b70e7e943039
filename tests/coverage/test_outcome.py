"""Each outcome, made to happen once: the comparison can fail."""

import itertools
import random
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import roam_lab as roam
from tests.coverage import guarded, outcome
from tests.coverage.outcome import outcome_of


def built():
    batches = [(torch.randn(4, 3), torch.randn(4, 2)) for _ in range(2)]
    return {"model": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), "batches": batches, "loss": nn.MSELoss()}


class Hooked:
    """An eager step that says of itself that it is planned, and does `damage(model, optimizer)` once on the way."""

    reasons = ("because",)

    def __init__(self, model, optimizer, loss, damage, planned_steps):
        self.model, self.optimizer, self.loss, self.damage = model, optimizer, loss, damage
        self.planned_steps = planned_steps

    def __call__(self, batch):
        loss = self.loss(self.model(batch[0]), batch[1])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.damage(self.model, self.optimizer)
        self.damage = lambda model, optimizer: None
        return loss.detach()


@pytest.fixture
def stand_in(monkeypatch):
    """Puts a hook, or a profile that raises, in roam-lab's place."""

    def put(damage=lambda model, optimizer: None, planned_steps=4, profile=lambda *arguments, **named: None):
        def profiled(*arguments, **named):
            profile(*arguments, **named)
            return SimpleNamespace(plan=lambda time_limit: None)

        def hook(plan, model, optimizer, loss, step):
            return Hooked(model, optimizer, loss, damage, planned_steps)

        monkeypatch.setattr(outcome, "roam", SimpleNamespace(profile=profiled, hook=hook, RoamError=roam.RoamError))

    return put


def raising(error):
    def profile(*arguments, **named):
        raise error

    return profile


def test_equal_and_planned_is_identical(stand_in):
    stand_in()
    found = outcome_of(built)
    assert (found.word, found.planned_steps) == ("identical", 4)
    assert found.row()["optimizer"] == "AdamW"


def test_two_eager_steps_are_eager(stand_in):
    stand_in(planned_steps=2)
    found = outcome_of(built)
    assert (found.word, found.reason) == ("eager", "('because',)")


DAMAGES = {
    "parameter 0.weight": lambda model, optimizer: model[0].weight.data[0, 0].mul_(1 + 1e-6),
    "buffer 1.running_mean": lambda model, optimizer: model[1].running_mean.add_(1e-6),
    "attribute 1.momentum": lambda model, optimizer: setattr(model[1], "momentum", 0.1 + 1e-9),
    "optimizer 0 state 0.bias.exp_avg": lambda model, optimizer: optimizer.state[model[0].bias]["exp_avg"].add_(1e-6),
    "optimizer 0 group 0.lr": lambda model, optimizer: optimizer.param_groups[0].update(lr=1e-3 + 1e-12),
    "torch's random state": lambda model, optimizer: torch.rand(1),
    "Python's random state": lambda model, optimizer: random.random(),
    "NumPy's random state": lambda model, optimizer: np.random.rand(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_the_smallest_damage_is_different(stand_in, name):
    stand_in(DAMAGES[name])
    found = outcome_of(built)
    assert found.word == "different"
    assert name in found.details.splitlines()


def test_a_refusal(stand_in):
    stand_in(profile=raising(roam.CaptureError("model.py:3: no")))
    found = outcome_of(built)
    assert (found.word, found.reason) == ("refused", "CaptureError: model.py:3: no")


def test_a_refusal_that_leaves_something_changed_is_different(stand_in):
    def profile(model, *arguments, **named):
        model[0].bias.data.add_(1e-6)
        raise roam.CaptureError("no")

    stand_in(profile=profile)
    found = outcome_of(built)
    assert found.word == "different"
    assert "after the refusal CaptureError: no" in found.reason


def test_another_error_is_a_traceback(stand_in):
    stand_in(profile=raising(KeyError("x")))
    found = outcome_of(built)
    assert (found.word, found.reason) == ("traceback", "KeyError: 'x'")
    assert "Traceback" in found.details


def test_what_eager_cannot_train_is_not_counted():
    def build():
        return {**built(), "loss": lambda model, batch: model(batch[1])}

    assert outcome_of(build).word == "not trainable"


def test_what_never_repeats_itself_is_not_counted(stand_in):
    numbers = itertools.count()

    def build():
        return {**built(), "extra": lambda: next(numbers)}

    stand_in()
    found = outcome_of(build)
    assert (found.word, found.reason) == ("not trainable", "eager steps do not repeat themselves: extra")


def killed():
    raise SystemExit


def busy():
    while True:
        pass


def test_processes_answer_die_and_are_killed(monkeypatch):
    monkeypatch.setattr(guarded, "PATIENCE", 3)
    jobs = {"two": lambda: 2, "dead": killed, "late": lambda: time.sleep(60), "busy": busy, "three": lambda: [3]}
    found = {name: result for name, result, _ in guarded.run_guarded(jobs.items(), workers=2, limit_seconds=1)}
    assert (found["two"], found["three"]) == (2, [3])
    for name in ("dead", "late", "busy"):
        assert found[name]["ended"].startswith("the process ended without an answer, after ")
