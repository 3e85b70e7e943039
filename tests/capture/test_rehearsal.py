"""A rehearsal follows the op log of an eager step on fakes, notices another step, and leaves everything as it was."""

import functools
import gc
import weakref
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from torch import nn

from roam_lab.capture import TrainingStep, as_step, rehearsal
from roam_lab.capture.rehearsal import rehearse
from roam_lab.capture.stored.code import Entered
from roam_lab.capture.stored.op_log import log_from_data, log_to_data
from roam_lab.errors import CaptureError, PartedError
from roam_lab.ir.op_log import OpLog
from roam_lab.measure.eager import record

SEEN = {"steps": 0, "losses": []}
WEIGHTS = [1.0, 2.0, 0.5]


@functools.lru_cache
def mask(size):
    return torch.ones(size)


def step_of(model, optimizer, batch):
    """With numbers read out of tensors, a branch on one, a literal, a cache, an outside tensor and random numbers."""
    SEEN["steps"] += 1
    optimizer.zero_grad()
    out = model(batch[0]) * mask(3)
    loss = nn.functional.cross_entropy(out, batch[1], weight=torch.tensor(WEIGHTS))
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    if norm.item() < 1000:
        optimizer.step()
    with torch.no_grad():
        model.average.lerp_(model[0].weight, 0.1)
    SEEN["losses"].append(loss.item())
    return loss.detach()


def made(kind=torch.optim.AdamW, **settings):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.1), nn.LayerNorm(16), nn.Linear(16, 3))
    model.average = model[0].weight.detach().clone()
    return TrainingStep(model, kind(model.parameters(), **settings), step_of, adds=True)


def batch(rows=4):
    return torch.randn(rows, 8), torch.randint(0, 3, (rows,))


@pytest.fixture
def log():
    mask(3)  # as after a first step
    return compared(record(made(), batch()).log)


def compared(log):
    """As it is kept: without what is not compared."""
    kept = OpLog(tuple(op for op in log.ops if rehearsal.Guide(OpLog((op,)))._ops))
    return log_from_data(log_to_data(kept))


def rehearsed(training, log, given=None):
    return rehearse(training, batch() if given is None else given, log, Entered(), lambda: None)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.AdamW, {}),
        (torch.optim.AdamW, {"foreach": True}),
        (torch.optim.AdamW, {"fused": True}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    ],
)
def test_the_same_step_runs_the_same_ops(kind, settings):
    mask(3)
    run = record(made(kind, **settings), batch())
    log = compared(run.log)
    seen = rehearsed(made(kind, **settings), log)
    assert [replace(op, source=None) for op in seen.log.ops] == list(log.ops)
    assert len(log.ops) > 30
    assert seen.serials == run.serials
    assert seen.literals == run.literals
    assert len(seen.literals) >= 1


def test_everything_is_as_before(log):
    training = made()
    SEEN.update(steps=3, losses=[0.5])
    mask.cache_clear()
    state = {name: value.clone() for name, value in training.model.state_dict().items()}
    average = training.model.average.clone()
    with pytest.raises(PartedError):  # the mask is made, which the log does not have
        rehearsed(training, log)
    assert mask.cache_info().currsize == 0
    mask(3)
    given = batch()
    random = torch.get_rng_state()
    rehearsed(training, log, given)
    assert SEEN == {"steps": 3, "losses": [0.5]}
    assert all(torch.equal(value, state[name]) for name, value in training.model.state_dict().items())
    assert type(training.model[0].weight) is nn.Parameter
    assert torch.equal(training.model.average, average)
    assert torch.equal(torch.get_rng_state(), random)
    assert not training.optimizer.state
    assert all(parameter.grad is None for parameter in training.model.parameters())
    assert type(mask(3)) is torch.Tensor


def test_gradients_and_flags_of_the_users_own_tensors_are_as_before(log):
    training = made()
    weight, bias = training.model[0].weight, training.model[0].bias
    weight.grad = before = torch.ones_like(weight)
    other = torch.zeros_like(weight)

    def step(model, optimizer, batch):
        weight.grad = other
        bias.requires_grad_(False)
        return step_of(model, optimizer, batch)

    with suppress(PartedError):
        rehearsed(replace(training, function=step), log)
    assert weight.grad is before
    assert bias.requires_grad


def test_the_model_is_not_kept_alive(log):
    training = made()
    rehearsed(training, log)
    gc.disable()
    try:
        weight = weakref.ref(training.model[0].weight)
        del training
        assert weight() is None
    finally:
        gc.enable()


def test_numbers_that_ops_are_given_are_those_of_now(log):
    training = made()
    training.optimizer.param_groups[0]["weight_decay"] = 0.5
    seen = rehearsed(training, log)
    decays = {op.constants for op in seen.log.ops if op.target == "aten.mul_.Tensor"}
    assert decays - {op.constants for op in log.ops} == {(1 - 0.001 * 0.5,)}


def test_another_literal_is_seen(log, monkeypatch):
    before = rehearsed(made(), log).literals
    monkeypatch.setitem(globals(), "WEIGHTS", [1.0, 2.0, 0.25])
    assert rehearsed(made(), log).literals != before


def another_activation(training):
    training.model[1] = nn.ReLU()


def without_an_op(training):
    del training.model[2]


def with_an_op_more(training):
    training.model.append(nn.Tanh())


def frozen(training):
    training.model[0].weight.requires_grad_(False)


def tied(training):
    training.model[4].bias = nn.Parameter(training.model[4].bias.detach())
    training.model.average = training.model[0].weight


@pytest.mark.parametrize("change", [another_activation, without_an_op, with_an_op_more, frozen, tied])
def test_another_step_is_noticed(change, log):
    training = made()
    change(training)
    with pytest.raises((PartedError, CaptureError)):
        rehearsed(training, log)


def test_other_shapes_are_noticed(log):
    with pytest.raises(PartedError):
        rehearsed(made(), log, batch(rows=5))


def test_a_log_that_goes_on_is_noticed(log):
    with pytest.raises(PartedError, match="goes on"):
        rehearsed(made(), OpLog((*log.ops, log.ops[-1])))


def test_an_iterator_within_reach_is_not_taken_from(log):
    training = made()
    training.model.batches = (number for number in (1, 2, 3))
    with pytest.raises(CaptureError, match="cannot be put back"):
        rehearsed(training, log)
    assert next(training.model.batches) == 1


def test_what_the_step_raises_is_raised(log):
    def fails(model, optimizer, batch):
        raise KeyError("a stranger's")

    training = replace(made(), function=fails)
    with pytest.raises(KeyError, match="a stranger's"):
        rehearsed(training, log)


def test_only_the_steps_own_code_is_noted(log):
    code = Entered()
    rehearse(made(), batch(), log, code, lambda: None)
    names = {name.partition(" ")[0] for name in code.digests().values()}
    assert names == {"step_of"}


def test_a_check_ends_it(log):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rehearse(made(), batch(), log, Entered(), interrupt)


def test_the_default_step_is_rehearsed():
    def loss(model, batch):
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    training = replace(made(), function=as_step(loss))
    log = compared(record(training, batch()).log)
    assert len(rehearsed(replace(made(), function=as_step(loss)), log).log.ops) == len(log.ops)
