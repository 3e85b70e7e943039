"""The planned step held against the eager one: what differs is found, named and put right; nothing else changes."""

import logging
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import capture_step
from roam_lab.errors import InputError, MismatchError, RoamWarning
from roam_lab.plan import make_plan
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.identity import digest, digests
from roam_lab.runtime.this_environment import VERIFIED, verified_digest


class Runs:
    count = 0


class Life:
    """A hooked model, its eager twin, and a count of its eager runs; `harm(model)` spoils each planned step."""

    def __init__(self, monkeypatch=None, harm=None, environment=None, step=None, **options):
        torch.manual_seed(0)
        self.model, self.twin = nn.Linear(3, 3), nn.Linear(3, 3)
        self.twin.load_state_dict(self.model.state_dict())
        self.optimizers = [torch.optim.AdamW(m.parameters(), lr=0.01) for m in (self.model, self.twin)]
        self.batch, self.train, self.runs = torch.randn(4, 3), step or self.plain, Runs()
        hidden, mine, train = logging.Logger("not walked"), weakref.ref(self.model), self.train
        hidden.runs = self.runs

        def counted(model, optimizer, batch):
            hidden.runs.count += model is mine() and not torch._guards.detect_fake_mode()  # not put back: out of reach
            return train(model, optimizer, batch)

        plan = make_plan(capture_step(self.model, self.optimizers[0], self.batch, counted).graph)
        self.runs.count = 0
        if environment:
            plan = replace(plan, environment=environment(plan))
        if harm:
            run = Compiled.run

            def spoiled(compiled, batch):
                loss = run(compiled, batch)
                harm(self.model)
                return loss

            monkeypatch.setattr(Compiled, "run", spoiled)
        self.hooked = roam.hook(plan, self.model, self.optimizers[0], step=counted, **options)

    @staticmethod
    def plain(model, optimizer, batch):
        loss = model(batch).pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    def same(self):
        """One step of both; whether all bits agree."""
        loss = self.hooked(self.batch)
        wanted = self.train(self.twin, self.optimizers[1], self.batch)
        return digest(loss) == digest(wanted.detach()) and digests(self.model, self.optimizers[0]) == digests(
            self.twin, self.optimizers[1]
        )


@pytest.mark.parametrize(
    ("check", "runs"), [("first", [2, 2, 2, 2]), ("never", [0] * 4), (2, [2, 2, 3, 3]), (1, [2, 3, 4, 5])]
)
def test_which_steps_are_checked(check, runs):
    """The first time the eager step runs twice: unobserved, and to write its op log."""
    life, seen = Life(check=check), []
    for _ in runs:
        assert life.same()
        seen.append(life.runs.count)
    assert seen == runs
    assert (life.hooked.planned_steps, life.hooked.eager_steps, life.hooked.reasons) == (4, 0, {})


@pytest.mark.parametrize("check", ["last", 0, -1, 1.5, True, None])
def test_another_check(check):
    with pytest.raises(InputError, match="choose 'first', 'never', or a whole number N >= 1"):
        Life(check=check)


def nudge(model):
    model.weight.data[1, 2] += 0.25


def test_a_step_that_differs_is_taken_back_named_and_run_eagerly(monkeypatch):
    life = Life(monkeypatch, nudge)
    with pytest.warns(RoamWarning, match=r"step 1 is not the eager step, bit for bit: model\.weight differs in 1 of 9"):
        assert life.same()
    assert life.same()
    assert (life.hooked.planned_steps, life.hooked.eager_steps) == (0, 2)
    ((sentence, count),) = life.hooked.reasons.items()
    assert (count, sentence.count("at most by 0.25")) == (2, 1)
    assert len(life.hooked._compiled) == 0


def test_where_eager_steps_are_errors_the_difference_is_one(monkeypatch):
    life = Life(monkeypatch, nudge, on_mismatch="error")
    before = digests(life.model, life.optimizers[0])
    with pytest.raises(MismatchError, match=r"model\.weight differs; report it with the model; train eagerly"):
        life.hooked(life.batch)
    assert digests(life.model, life.optimizers[0]) == before


@pytest.mark.filterwarnings("ignore:a training step ran eagerly")
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda model: torch.rand(1), "random state of torch"),
        (lambda model: setattr(model, "count", 3), "model.count is there after the planned run"),
        (lambda model: 1 / 0, "failed where the eager step does not: division by zero"),
    ],
)
def test_what_a_step_must_not_leave(monkeypatch, harm, message):
    life = Life(monkeypatch, harm)
    before = torch.get_rng_state()
    life.hooked(life.batch)
    assert message in next(iter(life.hooked.reasons))
    assert torch.equal(torch.get_rng_state(), before)
    assert life.model.bias.grad is None


def test_a_gradient_that_eager_does_not_leave_is_found(monkeypatch):
    life = Life(monkeypatch, lambda model: setattr(model.bias, "grad", torch.zeros(3)))
    with pytest.warns(RoamWarning, match="the gradient of bias differs: eager none"):
        assert life.same()
    assert (life.hooked.planned_steps, life.hooked.eager_steps) == (0, 1)
    assert life.model.bias.grad is None


def test_a_later_step_that_differs_is_found_where_asked(monkeypatch):
    calls = []
    life = Life(monkeypatch, lambda model: calls.append(1) or (len(calls) == 3 and nudge(model)), check=2)
    assert life.same()
    assert life.same()
    with pytest.warns(RoamWarning, match="planned step 3 is not the eager step"):
        assert life.same()
    assert (life.hooked.planned_steps, life.hooked.eager_steps) == (2, 1)


@pytest.mark.parametrize("where", ["eager", "planned"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_or_an_error_leaves_all_as_it_was(monkeypatch, where, error):
    class Stopped(error):
        pass

    def stop(*_):
        raise Stopped

    def step(model, optimizer, batch):
        loss = Life.plain(model, optimizer, batch)
        if where == "eager" and raising():
            stop()
        return loss

    switch = Runs()
    hidden = weakref.ref(switch)
    raising = lambda: hidden().count  # noqa: E731
    life = Life(monkeypatch, stop if where == "planned" else None, step=step)
    switch.count = 1
    before = digests(life.model, life.optimizers[0])
    if (where, error) == ("planned", ValueError):
        with pytest.warns(RoamWarning, match="failed where the eager step does not"):
            life.hooked(life.batch)
        return
    with pytest.raises(Stopped):
        life.hooked(life.batch)
    if (where, error) == ("eager", ValueError):  # the user's own, who may catch it and go on: as eager leaves it
        with pytest.raises(Stopped):
            step(life.twin, life.optimizers[1], life.batch)
        assert digests(life.model, life.optimizers[0]) == digests(life.twin, life.optimizers[1]) != before
        return
    assert digests(life.model, life.optimizers[0]) == before
    assert not life.optimizers[0].state
    switch.count = 0
    monkeypatch.undo()
    assert life.same()


@pytest.mark.parametrize(
    "error", [MemoryError, torch.OutOfMemoryError, RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_no_memory_for_the_eager_step_is_noted(error):
    full = Runs()
    switch, mine = weakref.ref(full), lambda: None

    def step(model, optimizer, batch):
        loss = Life.plain(model, optimizer, batch)
        if switch().count and model is mine() and not torch._guards.detect_fake_mode():
            raise error
        return loss

    life = Life(step=step)
    mine = weakref.ref(life.model)
    full.count = 1
    for _ in range(2):
        assert life.same()
    assert life.hooked.planned_steps == 2
    assert life.hooked.notes == ["not checked against the eager step: it does not fit into memory"]
    assert life.runs.count == 1


@pytest.mark.parametrize("threads", [0, 1])
def test_a_plan_verified_in_this_very_environment_is_not_checked(threads):
    def environment(plan):
        torch.set_num_threads(torch.get_num_threads() + threads)
        try:
            return {VERIFIED: verified_digest(plan.graph_sha256, "cpu")}
        finally:
            torch.set_num_threads(torch.get_num_threads() - threads)

    life = Life(environment=environment)
    assert life.same()
    message = "not checked against the eager step: the plan was verified in this environment"
    assert (life.runs.count, life.hooked.notes) == ((2, []) if threads else (0, [message]))


def test_what_cannot_be_put_back_is_not_run_twice():
    """The first step runs eagerly, and shows that it does not use it."""

    def step(model, optimizer, batch):
        assert numbers.readable()
        return Life.plain(model, optimizer, batch)

    with open(__file__) as numbers:
        life = Life()
        life.hooked = roam.hook(life.model, life.optimizers[0], step=step, cache=False)
        with pytest.warns(roam.RoamWarning, match="could not be put back after a trial run"):
            assert life.same()
        assert life.same()
    assert (life.hooked.planned_steps, life.hooked.eager_steps) == (1, 1)
    assert life.hooked.notes[0].endswith("which cannot be put back after it")


class Trainer:
    """Holds all of it, the hooked step as well, and its step is a method: nothing of the hook is put back."""

    def __init__(self):
        torch.manual_seed(0)
        self.model, self.batch, self.seen = nn.Linear(3, 3), torch.randn(4, 3), 0
        self.optimizer = torch.optim.AdamW(self.model.parameters())

    def step(self, model, optimizer, batch):
        return Life.plain(model, optimizer, batch)

    def run(self):
        plan = make_plan(capture_step(self.model, self.optimizer, self.batch, self.step).graph)
        self.hooked = roam.hook(plan, self.model, self.optimizer, step=self.step, check=1, on_mismatch="error")
        return [float(self.hooked(self.batch)) for _ in range(3)]


def test_a_step_that_reaches_its_own_hook():
    trainer = Trainer()
    assert len(set(trainer.run())) == 3
    assert (trainer.hooked.planned_steps, trainer.hooked.eager_steps) == (3, 0)
