"""Deliberate damage to the captured graph is found before or at the first step: by op log and by self-check."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

import roam_lab as roam
from roam_lab.capture import TrainingStep, capture_step, captured
from roam_lab.errors import PartedError, RoamError
from roam_lab.plan import make_plan
from roam_lab.runtime.identity import digest, digests
from roam_lab.runtime.self_check import SelfCheck
from tests import damage
from tests.twins import apart_from, sampled


class Small(nn.Module):
    """One op of every kind that is damaged."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.5)
        self.seen = 0.0

    def forward(self, x, labels):
        h = self.drop(functional.gelu(self.norm(self.one(x))))
        h = (h - x) / (x.abs() + 1.5) * 0.7
        h = functional.silu(h) * (x.square() + 1.0).rsqrt()
        if (x.mean() > 5.0).item():
            h = h * 3.0
        square = (h @ self.two.weight) @ h.t()
        heads = self.two(h).view(1, 2, 4, 4)
        h = functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True).reshape(4, 8) + h
        h = h.to(torch.float64).to(torch.float32)
        loss = functional.cross_entropy(h, labels) + h[:, 1:3].mean() + square.mean()
        self.seen = loss.item()
        return loss


def step(model, optimizer, batch):
    loss = model(*batch)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    optimizer.zero_grad()
    return loss


class Life:
    def __init__(self):
        torch.manual_seed(0)
        self.model = Small()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01, foreach=False)
        self.batches = [(torch.randn(4, 8), torch.randint(8, (4,))) for _ in range(4)]

    def eager_log(self):
        expected = SelfCheck("first", []).eager_first(TrainingStep(self.model, self.optimizer, step), self.batches[0])
        return expected.observed.log

    def run(self, call, rates=(0.01,) * 4):
        """Four steps; losses, what Python saw, and everything at the end."""
        torch.manual_seed(1)
        seen = []
        for batch, rate in zip(self.batches, rates, strict=True):
            self.optimizer.param_groups[0]["lr"] = rate
            loss = call(batch)
            seen.append((digest(loss.detach()), self.model.seen))
        return seen, digests(self.model, self.optimizer)


@pytest.fixture(scope="module")
def eager():
    life = Life()
    return life.run(lambda batch: step(life.model, life.optimizer, batch))


@pytest.fixture(scope="module")
def plan():
    life = Life()
    return make_plan(capture_step(life.model, life.optimizer, life.batches[0], step, log=life.eager_log()).graph)


def damaged(monkeypatch, harm):
    """From now on every trace is damaged; asserts that the program is another one then."""
    trace_step, count = captured.trace_step, []

    def spoiled(*given):
        trace = trace_step(*given)
        before = damage.program_of(trace)
        trace = harm(trace) or trace
        trace.module.graph.lint()
        assert damage.program_of(trace) != before
        count.append(harm.__name__)
        return trace

    monkeypatch.setattr(captured, "trace_step", spoiled)
    return count


def hooked_run(plan, check="first", **options):
    """A hook over four steps; where it refuses, the user goes on eagerly. Returns what `run` does, hook and error."""
    life = Life()
    hooked = roam.hook(plan, life.model, life.optimizer, step=step, on_mismatch="replan", check=check)
    errors = []

    def call(batch):
        if errors:
            return step(life.model, life.optimizer, batch)
        try:
            return hooked(batch)
        except RoamError as error:
            errors.append(error)
            return step(life.model, life.optimizer, batch)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return life.run(call, **options), hooked, errors


def test_without_damage_every_step_is_planned(plan, eager):
    ran, hooked, errors = hooked_run(plan)
    assert ran == eager
    assert (hooked.planned_steps, hooked.eager_steps, errors) == (4, 0, [])


ALL = damage.CLASSIFIER
BY_OUTCOME = frozenset({"another_loss", "a_condition_inverted"})
"""What the log does not tell: which tensor the step returns, and what conditions ask."""
assert len(ALL) >= 20


SWAPPED = [harm for harm in ALL if harm.__name__.startswith("operands_of_")]
"""The same harm to other ops; two of them are enough where time counts, and every second one of the others."""


@pytest.mark.parametrize(
    "harm",
    apart_from([harm for harm in ALL if harm in SWAPPED[:2] or harm not in SWAPPED][::3], ALL),
    ids=lambda harm: harm.__name__,
)
def test_the_log_and_the_self_check_find_it(monkeypatch, plan, eager, harm):
    count = damaged(monkeypatch, harm)
    ran, hooked, errors = hooked_run(plan)
    assert count
    assert ran == eager
    assert hooked.planned_steps == 0
    if harm.__name__ in BY_OUTCOME:
        assert hooked.eager_steps == 4 or errors
    else:
        assert isinstance(errors[0], PartedError), (errors, hooked.reasons)


ALONE = [harm for harm in ALL if harm.__name__ not in damage.LATER | damage.FORM_ONLY]


@pytest.mark.parametrize(
    "harm",
    sampled(ALONE, 3),
    ids=lambda harm: harm.__name__,
)
def test_the_self_check_alone_finds_it(monkeypatch, plan, eager, harm):
    monkeypatch.setattr(captured, "compare_with_log", lambda *_: None)
    count = damaged(monkeypatch, harm)
    ran, hooked, errors = hooked_run(plan)
    assert count
    assert ran == eager
    assert hooked.planned_steps == 0
    assert errors or (hooked.eager_steps == 4 and hooked.reasons)


@pytest.mark.parametrize(
    "check",
    [1, "first"],
)
def test_a_frozen_learning_rate(monkeypatch, plan, check):
    """The log holds the rate's value, not where it comes from: it is seen at the first checked step of another rate."""
    rates = (0.01, 0.02, 0.03, 0.04)
    life = Life()
    wanted = life.run(lambda batch: step(life.model, life.optimizer, batch), rates)
    assert damaged(monkeypatch, damage.learning_rate_frozen) == []
    ran, hooked, errors = hooked_run(plan, check, rates=rates)
    assert ran == wanted
    assert (hooked.planned_steps, hooked.eager_steps, errors) == (1, 3, [])


def a_part_dropped(module):
    """A pass that loses one part of a multi-tensor op."""
    node = next(n for n in module.graph.nodes if str(n.target) == "aten._foreach_mul_.Tensor")
    module.graph.erase_node(node)


def a_value_read_after_a_sum_was_written_over_it(module):
    """The sum in place is one of the known differences; reading what stood there before is none."""
    sums = [n for n in module.graph.nodes if str(n.target) == "aten.add_.Tensor" and n.meta["roam"].phase == "backward"]
    first, second = next((one, n) for one in sums for n in sums if n.args[0] is one)
    second.args = (first.args[0], second.args[1])


@pytest.mark.parametrize("harm", [a_part_dropped, a_value_read_after_a_sum_was_written_over_it])
def test_what_passes_do_to_the_graph_is_held_against_the_log(monkeypatch, harm):
    life = Life()
    log, accumulate = life.eager_log(), captured.accumulate_in_place

    def spoiled(module, *, as_eager):
        accumulate(module, as_eager=as_eager)
        if not as_eager:
            harm(module)

    monkeypatch.setattr(captured, "accumulate_in_place", spoiled)
    with pytest.raises(PartedError, match=r"test_damage\.py:\d+: .* \(op \d+\), so the plan"):
        capture_step(life.model, life.optimizer, life.batches[0], step, log=log)
