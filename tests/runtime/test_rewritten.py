"""Rewritten plans leave, bit for bit, what eager steps leave: copies, results in place, and chains run by rows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from roam_lab.capture.captured import Captured, capture_step
from roam_lab.capture.snapshot import RandomState
from roam_lab.capture.step import as_step
from roam_lab.errors import InputError, JudgementError, MismatchError
from roam_lab.ir import Origin, Rewritten
from roam_lab.plan.plan import plan_to_data
from roam_lab.plan.plan_json import load_plan
from roam_lab.rewrite import evaluate
from roam_lab.rewrite.kinds import KINDS
from roam_lab.runtime import row_chains
from roam_lab.runtime.doing import check_runs
from roam_lab.runtime.hook import hook
from roam_lab.runtime.identity import first_differences
from tests.copies import copied
from tests.runtime.offloading import LateCopies, offloaded
from tests.runtime.rewriting import plan_of, random_rewriting
from tests.runtime.test_identity import run
from tests.twins import apart_from, sampled
from tests.zoo import MODELS, STEPS, adamw, tiny


@pytest.fixture(autouse=True)
def copies_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roam_lab.runtime.host_memory.PlainCopies", LateCopies)


def check(name: str, seed: int, kinds: tuple[str, ...] = KINDS, step: str | None = None) -> set[str]:
    """Four steps of a random rewriting against four eager ones; the kinds of rewriting that it had."""
    torch.manual_seed(0)
    model, batch, loss = MODELS[name]()
    optimizer, function = adamw(model.parameters()), as_step(loss, STEPS[step] if step else None)
    function(model, optimizer, batch)
    graph = capture_step(model, optimizer, batch, function).graph
    rewritten = random_rewriting(graph, seed, kinds)
    plan = plan_of(graph, offloaded(rewritten, seed) if "offload" in kinds else rewritten)
    start = RandomState()
    twin, twin_optimizer = copied(model, optimizer)
    eager = run(lambda batch: function(twin, twin_optimizer, batch), twin, twin_optimizer, batch)
    start.restore()
    planned = hook(plan, model, optimizer, step=function, on_mismatch="error")
    assert first_differences(eager, run(planned, model, optimizer, batch)) == ()
    assert planned.planned_steps == 4
    return {rewrite.kind for rewrite in plan.rewrites}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_alone(kind: str) -> None:
    assert check("gpt2", 1, (kind,)) == {kind}


@pytest.mark.parametrize("name", apart_from(["gpt2", "resnet"], sorted(MODELS)))
def test_all_kinds_together(name: str) -> None:
    assert check(name, 1) == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["autocast", "clipped"])
def test_other_steps(step: str) -> None:
    assert "recompute" in check("gpt2", 5, step=step)


@pytest.mark.parametrize("name", [pytest.param("gpt2", marks=pytest.mark.slow), "resnet"])
def test_a_few_rows_at_a_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With scratch, or a cache, for a part of the rows only."""
    if name == "gpt2":
        monkeypatch.setattr(evaluate, "SCRATCH_BYTES", 1500)
    else:
        monkeypatch.setattr(row_chains, "CACHE_SHARE", 1e-9)
    assert "fuse" in check(name, 3, ("in_place", "fuse"))


class Mixer(torch.nn.Module):
    """Square maps, where a row and a column are as long, and chains over what layer norm has allocated."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = (torch.nn.Parameter(torch.rand(*size)) for size in ((16,), (16, 16)))
        self.mix, self.norm, self.head = torch.nn.Linear(16, 16), torch.nn.LayerNorm(16), torch.nn.Linear(16, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = x + torch.nn.functional.mish(self.mix(x.transpose(-1, -2)).transpose(-1, -2)) * self.scale
            x = self.norm(x * torch.sigmoid(x) + self.shift)
            x = x + torch.nn.functional.dropout(torch.nn.functional.silu(self.mix(x)) * self.scale, 0.1, self.training)
        return self.head(x.mean(1))


@pytest.mark.parametrize("seed", sampled(range(2), 1))
def test_rows_as_long_as_columns(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = torch.randn(4, 16, 16), torch.randint(0, 7, (4,))
    monkeypatch.setitem(MODELS, "mixer", lambda: (Mixer(), batch, torch.nn.CrossEntropyLoss()))
    assert check("mixer", seed) == set(KINDS)


class Symmetric(torch.nn.Module):
    """What it computes is added to, and masked by, its own transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = torch.nn.Linear(16, 16), torch.nn.Linear(16, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.into(x).tanh()
        scores = scores + scores.mT
        kept = scores > 0.1
        return self.out(scores.masked_fill(kept & kept.mT, 0.0)).mean(1)


@pytest.mark.parametrize("seed", sampled(range(2), 1))
def test_what_is_read_transposed_too(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = torch.randn(4, 16, 16), torch.randint(0, 7, (4,))
    monkeypatch.setitem(MODELS, "symmetric", lambda: (Symmetric(), batch, torch.nn.CrossEntropyLoss()))
    assert check("symmetric", seed) >= {"in_place"}


@pytest.fixture(scope="module")
def captured() -> Captured:
    torch.manual_seed(0)
    model, batch, loss = tiny()
    return capture_step(model, adamw(model.parameters()), batch, as_step(loss))


def test_a_rewritten_plan_survives_its_file(captured: Captured, tmp_path: Any) -> None:
    plan = plan_of(captured.graph, random_rewriting(captured.graph, 1))
    plan.save(tmp_path / "p.roam.json")
    assert load_plan(tmp_path / "p.roam.json") == plan
    assert load_plan(tmp_path / "p.roam.json", captured.graph) == plan
    with pytest.raises(InputError, match="what was rewritten is in the plan's graph; save it whole"):
        plan.save(tmp_path / "bare.roam.json", bare=True)
    (tmp_path / "bare.roam.json").write_text(json.dumps(plan_to_data(plan, bare=True)))
    with pytest.raises(MismatchError, match="a bare plan does not hold the graph that its rewrites made"):
        load_plan(tmp_path / "bare.roam.json", captured.graph)


def test_a_result_over_what_the_kernel_still_reads_is_refused(captured: Captured) -> None:
    """A matrix product has no pair to reuse."""
    rewritten = random_rewriting(captured.graph, 0, ())
    graph = rewritten.graph
    index = next(i for i, op in enumerate(graph.ops) if "mm" in op.target and op.creates)
    op, origin = graph.ops[index], rewritten.origins[index]
    over = next(one for one in op.reads if not graph.storages[one].always_there)
    moved = replace(op, creates=(), writes=(over,))
    ops = (*graph.ops[:index], moved, *graph.ops[index + 1 :])
    origins = (*rewritten.origins[:index], replace(origin, results=(over,)), *rewritten.origins[index + 1 :])
    wrong = object.__new__(type(graph))
    object.__setattr__(wrong, "ops", ops)
    object.__setattr__(wrong, "storages", graph.storages)
    with pytest.raises(JudgementError, match="which its kernel may still read"):
        check_runs(captured, Rewritten(wrong, origins))


def test_ops_that_do_not_go_together_by_rows_are_refused(captured: Captured) -> None:
    graph = captured.graph
    product = next(i for i, op in enumerate(graph.ops) if "mm" in op.target)
    pointwise = next(i for i, op in enumerate(graph.ops) if op.rows)
    first, second = graph.ops[product], graph.ops[pointwise]
    origin = Origin((product, pointwise), (*first.reads, *second.reads), (*first.creates, *second.creates))
    with pytest.raises(JudgementError, match="is fused with ops of other rows than its own, or has none"):
        check_runs(captured, Rewritten(graph, (origin,) * len(graph.ops)))
