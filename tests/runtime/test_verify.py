"""Verification: proves sameness from fresh processes and on copies, names what differs, and survives what users do."""

import copy
import os
import random

import numpy
import pytest
import torch

from roam_lab.capture.step import as_step
from roam_lab.errors import InputError
from roam_lab.measure.eager import measure_eager
from roam_lab.runtime.identity import digest, digests, first_differences, named_values, told_difference
from roam_lab.runtime.measured_run import decay_learning_rates, state_bytes
from roam_lab.runtime.paired import paired_times
from tests.copies import copied
from tests.zoo import adamw_groups, tiny


def test_digests_tell_bits_apart():
    nan, zero = torch.tensor([float("nan"), 1.0]), torch.tensor([0.0])
    assert digest(nan) == digest(nan.clone())
    assert digest(zero) != digest(-zero)
    assert digest(torch.zeros(2, 3)) != digest(torch.zeros(3, 2))
    assert digest(torch.zeros(2)) != digest(torch.zeros(2, dtype=torch.bfloat16))
    assert digest(torch.arange(6).reshape(2, 3)) == digest(
        torch.arange(6).reshape(3, 2).t().contiguous().t().reshape(2, 3)
    )
    wide = torch.arange(12.0).reshape(3, 4)
    assert digest(wide.t()) == digest(wide.t().contiguous())
    assert digest(torch.tensor(3)) != digest(3)
    assert digest(1) != digest(1.0)
    assert digest(torch.zeros(0)) == digest(torch.zeros(0))
    assert digest(torch.tensor([True])) != digest(torch.tensor([False]))


def test_names_cover_everything_a_step_changes():
    torch.manual_seed(0)
    model, batch, loss = tiny()
    model.register_buffer("seen", torch.zeros(1))
    optimizer = adamw_groups(model.parameters())
    as_step(loss)(model, optimizer, batch)
    names = dict(named_values(model, optimizer))
    assert "parameter embed.weight" in names
    assert "buffer seen" in names
    assert "optimizer state embed.weight.exp_avg" in names
    assert names["optimizer group 0 lr"] == 1e-2
    assert names["optimizer group 1 betas[1]"] == 0.99


def test_first_differences_names_the_value_and_the_amount():
    left = {"loss": digest(1.0), "a": digest(torch.zeros(4)), "b": digest(torch.ones(2)), "c": "int 1"}
    right = {**left, "a": digest(torch.tensor([0, 0, 0.5, 0])), "b": digest(torch.zeros(3)), "d": "int 2"}
    del right["c"]
    text = first_differences(left, right, lambda name: f"by {name}")
    assert text == (
        "a differs by a",
        "b differs: eager float32[2], planned float32[3]",
        "c is there after the eager run only",
        "d is there after the planned run only",
    )
    assert first_differences(left, left) == ()
    many = first_differences({str(i): "int 1" for i in range(9)}, {str(i): "int 2" for i in range(9)})
    assert many[0] == "0 differs: eager int 1, planned int 2"
    assert many[-1] == "and 4 more of 9 values differ"


def test_told_difference():
    left = torch.tensor([1.0, 2.0, float("nan")])
    assert told_difference(left, left) == "in no element"
    assert told_difference(left, torch.tensor([1.0, 2.5, float("nan")])) == "in 1 of 3 elements, at most by 0.5"
    assert told_difference(torch.tensor([0.0]), torch.tensor([-0.0])) == "in 1 of 1 elements, at most by 0"


def test_told_difference_ignores_nans_that_agree():
    left, right = torch.tensor([float("nan"), 1.0]), torch.tensor([float("nan"), 2.0])
    assert told_difference(left, right) == "in 1 of 2 elements, at most by 1"
    assert told_difference(torch.tensor([1.0]), torch.tensor([float("nan")])).endswith("at most by inf")


def test_copies_are_bound_to_each_other():
    torch.manual_seed(0)
    model, batch, loss = tiny()
    optimizer = adamw_groups(model.parameters())
    optimizer.note = "kept"
    as_step(loss)(model, optimizer, batch)
    before = digests(model, optimizer)
    twin, twin_optimizer = copied(model, optimizer)
    assert digests(twin, twin_optimizer) == before
    assert twin.head.weight is twin.embed.weight
    assert twin_optimizer.note == "kept"
    as_step(loss)(twin, twin_optimizer, batch)
    assert digests(twin, twin_optimizer) != before
    assert digests(model, optimizer) == before


def test_what_cannot_be_put_back_is_said():
    from roam_lab.runtime.verify import verify

    model, batch, _ = tiny()
    model.log = open(os.devnull)  # noqa: SIM115
    message = r"the step reaches model\.log, which cannot be put back after it; .*roam verify FILE\.py:FACTORY"
    try:
        with pytest.raises(InputError, match=message):
            verify(None, model, adamw_groups(model.parameters()), batch)
    finally:
        model.log.close()


def test_rates_decay_as_numbers_and_as_tensors():
    model, _, _ = tiny()
    rate = torch.tensor(0.5)
    optimizer = torch.optim.SGD(
        [{"params": [model.embed.weight], "lr": 1.0}, {"params": [model.norm.weight], "lr": rate}], lr=0.1
    )
    decay_learning_rates(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.9
    assert optimizer.param_groups[1]["lr"] is rate
    assert float(rate) == pytest.approx(0.45)


def test_state_bytes_counts_each_storage_once():
    model, _, _ = tiny()
    optimizer = torch.optim.SGD(model.parameters())
    shared = torch.zeros(10)
    optimizer.state[model.embed.weight] = {"a": shared, "b": shared[2:], "step": 3}
    assert state_bytes(optimizer) == 40


def test_pairs_alternate_and_warm_up():
    calls = []
    steps = [lambda name=name: calls.append(name) or float(len(calls)) for name in "ep"]
    assert paired_times(*steps, pairs=2) == [(5.0, 6.0), (8.0, 7.0)]
    assert "".join(calls) == "eppeeppe"


def noted(model, optimizer):
    return (
        digests(model, optimizer),
        [id(p) for p in model.parameters()],
        digest(torch.get_rng_state()),
        random.getstate(),
        numpy.random.get_state()[1].tolist(),
    )


def planned_for(model, optimizer, batch, loss):
    from roam_lab.capture.captured import capture_step
    from roam_lab.plan.planner import make_plan

    return make_plan(capture_step(model, optimizer, batch, as_step(loss)).graph)


@pytest.mark.parametrize("warm", [False, True])
def test_in_a_notebook_nothing_changes(warm):
    from roam_lab.runtime.verify import verify

    torch.manual_seed(0)
    model, batch, loss = tiny()
    optimizer = adamw_groups(model.parameters())
    plan = planned_for(model, optimizer, batch, loss)
    if warm:
        as_step(loss)(model, optimizer, batch)
    before = noted(model, optimizer)
    result = verify(plan, model, optimizer, batch, scheduler=True)
    assert result.differences == ()
    assert result.arena_bytes == plan.arena_bytes
    assert noted(model, optimizer) == before


def test_in_a_notebook_a_difference_is_named(monkeypatch):
    from roam_lab.runtime import verify as module

    torch.manual_seed(0)
    model, batch, _ = tiny()
    optimizer = adamw_groups(model.parameters())

    def wrong(made, plan):
        step = module.bind_eager(made)

        def nudged(batch):
            value = step(batch)
            made["model"].norm.bias.data[3] += 0.25
            return value

        return nudged

    monkeypatch.setattr(module, "bind_planned", wrong)
    before = noted(model, optimizer)
    result = module.verify(None, model, optimizer, batch, steps=2)
    assert not result.identical
    assert result.differences[0].startswith("loss of step 2 differs in 1 of 1 elements")
    assert noted(model, optimizer) == before


def test_measured_and_verified_on_the_same_objects():
    """A profile's measured step before a verification leaves nothing that the verification could see."""
    torch.manual_seed(0)
    model, batch, loss = tiny()
    optimizer = adamw_groups(model.parameters())
    before = copy.deepcopy(noted(model, optimizer))
    measure_eager(model, optimizer, batch, as_step(loss))
    assert noted(model, optimizer) == before
