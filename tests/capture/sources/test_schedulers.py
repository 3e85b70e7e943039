"""A scheduler beside the step costs no capture; one that the step reads is guarded, whatever it reads."""

import copy
import functools

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture.sources import reach
from roam_lab.capture.sources.schedulers import schedulers_noted
from roam_lab.errors import RoamWarning
from roam_lab.runtime import step_compiler
from tests.twins import sampled


class Training:
    """Holds its scheduler, as classes that train do; `read` is what its step does with it."""

    def __init__(self, model, read=lambda scheduler: None):
        self.optimizer = torch.optim.SGD(model.parameters(), 0.1)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, 0.5)
        self.read = read

    def step(self, model, optimizer, batch):
        loss = model(batch).square().mean()
        factor = self.read(self.scheduler)
        if factor:
            loss = loss * factor
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()


READ = {
    "rate": lambda scheduler: scheduler.get_last_lr()[0],
    "counter": lambda scheduler: scheduler.last_epoch + 1,
    "by name": lambda scheduler: scheduler._step_count,
    "its dict": lambda scheduler: vars(scheduler)["last_epoch"] + 1,
    "saved": lambda scheduler: scheduler.state_dict()["last_epoch"] + 1,
}


@pytest.mark.parametrize("read", sampled(READ.values(), 3), ids=READ)
def test_one_that_is_read(read):
    torch.manual_seed(0)
    model, batch = nn.Linear(4, 2), torch.randn(3, 4)
    twin = copy.deepcopy(model)
    eager, hooked = Training(twin, read), Training(model, read)
    step = roam.hook(model, hooked.optimizer, step=hooked.step, cache=False, on_mismatch="replan")
    for _ in range(3):
        assert torch.equal(step(batch), eager.step(twin, eager.optimizer, batch))
        eager.scheduler.step()
        hooked.scheduler.step()
        assert torch.equal(model.weight, twin.weight)
    assert (step.planned_steps, step.eager_steps) == (3, 0), step.reasons
    assert type(hooked.scheduler) is torch.optim.lr_scheduler.StepLR
    assert "step" not in vars(hooked.scheduler)


@pytest.mark.parametrize("read", [lambda scheduler: None, lambda scheduler: hasattr(scheduler, "total_steps")])
def test_one_that_is_not_read_is_never_asked_about(monkeypatch, read):
    """Accelerate asks whether a scheduler has a total."""
    captured = []
    real = step_compiler._captured
    monkeypatch.setattr(step_compiler, "_captured", lambda *given: captured.append(1) or real(*given))
    model, batch = nn.Linear(4, 2), torch.randn(3, 4)
    training = Training(model, read)
    step = roam.hook(model, training.optimizer, step=training.step, cache=False, on_mismatch="error")
    for _ in range(3):
        step(batch)
        training.scheduler.step()
    assert step.planned_steps == 3
    before = len(captured)
    training.scheduler.gamma = 0.9
    step(batch)
    assert len(captured) == before <= 1
    training.scheduler.new = object()  # it cannot be known that nobody reads what is new
    step(batch)
    assert len(captured) > before


class OfTheUser(torch.optim.lr_scheduler.StepLR):
    """May do anything when it is looked at."""


@pytest.mark.parametrize("kind", [torch.optim.lr_scheduler.StepLR, OfTheUser])
def test_what_is_unread(kind):
    training = Training(nn.Linear(4, 2))
    training.scheduler = scheduler = kind(training.optimizer, 1)
    called = []
    with schedulers_noted(reach({"training": training}), lambda *given: called.append(given[1])) as noted:
        scheduler.step()
        assert scheduler.optimizer is training.optimizer
        unread = set(noted.unread())
        assert scheduler.last_epoch == 0
        assert "training.scheduler.last_epoch" not in set(noted.unread())
    counters = {f"training.scheduler.{name}" for name in ("last_epoch", "_step_count", "_last_lr", "gamma")}
    assert unread >= counters if kind is torch.optim.lr_scheduler.StepLR else unread == set()
    assert called == ["training.scheduler.step"]
    assert type(scheduler) is kind


def test_one_that_is_read_after_its_own_step_is_named():
    model, batch = nn.Linear(4, 2), torch.randn(3, 4)
    training = Training(model)

    def step(model, optimizer, batch):
        loss = training.step(model, optimizer, batch)
        training.scheduler.step()
        return loss, training.scheduler.get_last_lr()[0]

    hooked = roam.hook(model, training.optimizer, step=step, cache=False)
    with pytest.warns(RoamWarning, match=r"reads \S*scheduler.get_last_lr after that scheduler's step\(\)"):
        rates = [hooked(batch)[1] for _ in range(3)]
    assert rates == [0.05, 0.025, 0.0125]
    assert hooked.eager_steps == 3


def test_what_is_read_by_name_leaves_the_others_unread():
    training = Training(nn.Linear(4, 2))
    with schedulers_noted(reach({"training": training}), lambda *given: None) as noted:
        assert training.scheduler.get_last_lr() == [0.1]
        unread = set(noted.unread())
        vars(training.scheduler)
        assert set(noted.unread()) == set()
    assert "training.scheduler._last_lr" not in unread
    assert unread >= {"training.scheduler.last_epoch", "training.scheduler._step_count", "training.scheduler.gamma"}


def test_one_whose_counter_is_read_between_two_steps():
    """As Accelerate's wrapper does with several processes, until the schedule is over."""
    torch.manual_seed(0)
    model, batch = nn.Linear(4, 2), torch.randn(3, 4)
    rates = []
    for hooked in (False, True):
        mine = copy.deepcopy(model)
        training = Training(mine)
        scheduler = training.scheduler = torch.optim.lr_scheduler.OneCycleLR(training.optimizer, 0.1, total_steps=6)

        def step(model, optimizer, batch, training=training, scheduler=scheduler):
            loss = training.step(model, optimizer, batch)
            for _ in range(2):
                if scheduler._step_count <= scheduler.total_steps:
                    scheduler.step()
            return loss

        run = functools.partial(step, mine, training.optimizer)
        if hooked:
            run = roam.hook(mine, training.optimizer, step=step, cache=False, on_mismatch="replan")
        found = []
        for _ in range(5):
            loss = run(batch)
            found.append((loss.item(), scheduler.last_epoch, scheduler.get_last_lr()[0]))
        rates.append(found)
    assert rates[0] == rates[1]
    assert run.planned_steps >= 4, run.reasons
