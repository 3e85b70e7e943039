"""`python -m tests.runtime.rewrite_bits [MODEL[/WAY] ...]`: four steps of rewritten plans against four eager ones.

Every kind of rewriting alone and all together, at three budgets, on small models; with dropout, in bf16 autocast, and
with gradients accumulated. Prints one line a model and way to train: plans that are the same, and what is not.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from roam_lab.capture import TrainingStep
from roam_lab.capture.captured import Captured, capture_step
from roam_lab.capture.snapshot import RandomState
from roam_lab.capture.step import StepFunction, as_loss
from roam_lab.errors import RoamError
from roam_lab.ir import Graph, Rewritten, live_peak, untouched
from roam_lab.ir.roofline import GPUS, with_roofline
from roam_lab.measure.eager import record
from roam_lab.plan.rewriting import place, rewrites_of
from roam_lab.rewrite.expand import expand
from roam_lab.rewrite.frontier import found
from roam_lab.rewrite.kinds import FREE
from roam_lab.rewrite.points import Goals
from roam_lab.rewrite.tape import problem_of
from roam_lab.runtime import host_memory
from roam_lab.runtime.arena_pool import ArenaPool
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.identity import first_differences
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.plan_check import check_plan
from roam_lab.runtime.step_guards import guards_of
from tests.copies import copied
from tests.runtime.offloading import LateCopies, offloaded
from tests.runtime.rewriting import chains_pay, plan_of
from tests.runtime.test_identity import run
from tests.zoo import MODELS, Made, adamw

ALONE = ("in_place", "fuse", "recompute", "offload")
KIND_SETS = (*((kind,) for kind in ALONE), ALONE)
TIMES = (0.0, 0.05, 0.1, 0.2, 0.33, 1.0)


class _Lstm(nn.Module):
    """Two layers with dropout between them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(17, 8), nn.Linear(12, 17)
        self.lstm = nn.LSTM(8, 12, num_layers=2, dropout=0.2, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.embed(ids))[0]).flatten(0, 1)


def lstm() -> Made:
    ids = torch.randint(0, 17, (4, 6))
    return _Lstm().train(), (ids, ids.flatten()), nn.CrossEntropyLoss()


NAMES = ("gpt2", "bert", "vit", "resnet", "unet", "t5", "llama", "lstm")


def _halves(batch: Any) -> Iterator[Any]:
    leaves, form = torch.utils._pytree.tree_flatten(batch)
    for half in range(2):
        yield torch.utils._pytree.tree_unflatten([leaf.chunk(2)[half] for leaf in leaves], form)


def plain(loss: Callable[..., torch.Tensor]) -> StepFunction:
    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        value = loss(model, batch)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value

    return step


def autocast(loss: Callable[..., torch.Tensor]) -> StepFunction:
    return plain(_in_bf16(loss))


def _in_bf16(loss: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss(model, batch)

    return loss_of


def accumulated(loss: Callable[..., torch.Tensor]) -> StepFunction:
    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        total = torch.zeros(())
        for half in _halves(batch):
            value = loss(model, half) / 2
            value.backward()
            total += value.detach()
        optimizer.step()
        optimizer.zero_grad()
        return total

    return step


def both(loss: Callable[..., torch.Tensor]) -> StepFunction:
    return accumulated(_in_bf16(loss))


WAYS = {"plain": plain, "autocast": autocast, "accumulated": accumulated, "both": both}


@dataclass(frozen=True)
class Training:
    """A model that has run one step, and its captured step."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batch: Any
    step: StepFunction
    captured: Captured

    @classmethod
    def of(cls, name: str, way: str) -> Training:
        torch.manual_seed(0)
        model, batch, loss = lstm() if name == "lstm" else MODELS[name]()
        optimizer, step = adamw(model.parameters()), WAYS[way](as_loss(loss))
        step(model, optimizer, batch)
        twin, twin_optimizer = copied(model, optimizer)
        log = record(TrainingStep(twin, twin_optimizer, step), batch).log
        return cls(model, optimizer, batch, step, capture_step(model, optimizer, batch, step, log=log))

    def eager(self) -> dict[str, Any]:
        """What four eager steps leave."""
        model, optimizer = copied(self.model, self.optimizer)
        return run(lambda batch: self.step(model, optimizer, batch), model, optimizer, self.batch)

    def planned(self, rewritten: Rewritten) -> dict[str, Any]:
        """What four steps of a rewriting leave. Raises RoamError where it is refused, or fails."""
        model, optimizer = copied(self.model, self.optimizer)
        plan = plan_of(self.captured.graph, rewritten, place(rewritten, layout="llfb"))
        check_plan(self.captured, plan)
        training, tree, pool = TrainingStep(model, optimizer, self.step), ModelTree(model), ArenaPool()
        tree.refresh()
        guards = guards_of(training, self.captured.trace)
        compiled = Compiled(self.captured, plan, training, tree, pool, guards)
        return run(compiled.run, model, optimizer, self.batch)


def rewritings(graph: Graph, kinds: tuple[str, ...]) -> Iterator[tuple[int, Rewritten]]:
    """At three budgets, as far as the kinds have that many: live peak in bytes, and the rewriting."""
    planner = frozenset(kinds) - {"offload"}
    timed = chains_pay(with_roofline(graph, GPUS["a100"]))
    if not planner:
        bases = [untouched(graph)] * 3
    elif planner <= set(FREE):  # which have no budgets
        problem = problem_of(timed, planner)
        bases = [expand(problem, problem.start, split=False)]
    else:
        points = found(timed, Goals(TIMES, kinds=planner), "greedy").points
        bases = [points[at].rewritten() for at in dict.fromkeys((0, len(points) // 2, len(points) - 1))]
    for seed, base in enumerate(bases):
        rewritten = offloaded(base, seed, share=0.3) if "offload" in kinds else base
        yield live_peak(rewritten.graph, range(len(rewritten.graph.ops))).bytes, rewritten


@dataclass(frozen=True)
class Compared:
    """A plan of these kinds, its live peak in bytes, how often each kind was used, and what is not the same ("")."""

    kinds: tuple[str, ...]
    peak: int
    used: Counter[str]
    wrong: str

    def __str__(self) -> str:
        used = ", ".join(f"{count} {kind}" for kind, count in sorted(self.used.items()))
        return f"{self.peak} ({used or 'nothing'}){': ' if self.wrong else ''}{self.wrong}"


def compared(name: str, way: str, kind_sets: tuple[tuple[str, ...], ...] = KIND_SETS) -> Iterator[Compared]:
    """Every plan of a model that is trained in that way."""
    training = Training.of(name, way)
    start = RandomState()
    eager = training.eager()
    for kinds in kind_sets:
        for peak, rewritten in rewritings(training.captured.graph, kinds):
            used = Counter(rewrite.kind for rewrite in rewrites_of(rewritten))
            start.restore()
            try:
                wrong = "; ".join(first_differences(eager, training.planned(rewritten)))
            except RoamError as error:
                wrong = f"{type(error).__name__}: {error}"
            yield Compared(kinds, peak, used, wrong)
    start.restore()


def main(names: list[str]) -> int:
    host_memory.PlainCopies = LateCopies
    failed = False
    for given in names or NAMES:
        name, _, only = given.partition("/")
        for way in [only] if only else WAYS:
            results = list(compared(name, way))
            heard: dict[str, list[str]] = {}
            for one in results:
                heard.setdefault(one.kinds[0] if len(one.kinds) == 1 else "all", []).append(str(one))
            same = sum(not one.wrong for one in results)
            failed = failed or same < len(results)
            print(json.dumps({"model": name, "way": way, "same": same, "of": len(results), "plans": heard}), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
