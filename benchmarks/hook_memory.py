"""Memory of a hooked training process over its whole life, against plain eager: other shapes, a smaller last batch,
evaluation in between, thousands of steps. Each run is a process of its own; plans come from files, made before.

    python benchmarks/hook_memory.py [--cases lengths,last_batch] [--steps 2000] [-o FILE.json]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from machine import described, mib, write
from torch import nn

import roam_lab as roam

ROOT = Path(__file__).resolve().parents[1]


class LanguageModel(nn.Module):
    """A small transformer over token ids; returns its loss."""

    def __init__(self, width: int, words: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        block = lambda: nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True, dropout=dropout)  # noqa: E731
        self.layers = nn.ModuleList(block() for _ in range(layers))
        self.head = nn.Linear(width, words)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return nn.functional.cross_entropy(self.head(x[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


def perceptron() -> nn.Module:
    """Wide layers: activations of the batch make up most of the memory."""
    layers: list[nn.Module] = []
    for _ in range(6):
        layers += [nn.Linear(512, 2048), nn.GELU(), nn.Linear(2048, 512)]
    return nn.Sequential(*layers, nn.Linear(512, 10))


def class_loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Cross entropy of (inputs, classes)."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def tokens(length: int, words: int = 2000, rows: int = 4) -> torch.Tensor:
    """A batch of token ids."""
    return torch.randint(0, words, (rows, length))


def rows(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch for `perceptron`."""
    return torch.randn(count, 512), torch.randint(0, 10, (count,))


@dataclass(frozen=True)
class Case:
    """`batches(steps)`: what is trained on, in turn; `evaluate` runs after every `every`-th step (0: never)."""

    make: Callable[[], nn.Module]
    batches: Callable[[int], Iterator[Any]]
    loss: Any = None
    every: int = 0
    evaluate: Callable[[nn.Module], object] = lambda model: None
    modes: tuple[str, ...] = ("eager", "replan")


LENGTHS = (256, 240, 224, 208, 192, 176, 160, 144, 128, 112)


def _lengths(steps: int) -> Iterator[Any]:
    for _ in range(2):
        yield from (tokens(length) for length in LENGTHS)


def _last_batch(steps: int) -> Iterator[Any]:
    yield from (rows(count) for count in (4096, 4096, 3900))


def _same(steps: int) -> Iterator[Any]:
    yield from (rows(4096) for _ in range(4))


def _many(steps: int) -> Iterator[Any]:
    choose = random.Random(0)
    for number in range(steps):
        yield tokens(choose.choice(range(8, 40, 4)) if number else 64, 50)


def _evaluate(model: nn.Module) -> None:
    with torch.no_grad():
        model(rows(4096)[0])


CASES = {
    "lengths": Case(lambda: LanguageModel(256, 2000, 4), _lengths),
    "lengths_wide": Case(lambda: LanguageModel(512, 8000, 4), _lengths),
    "last_batch": Case(perceptron, _last_batch, class_loss),
    "evaluation": Case(perceptron, _same, class_loss, 1, _evaluate, modes=("eager",)),
    "many_steps": Case(lambda: LanguageModel(32, 50, 2), _many),
}


def status(key: str) -> int:
    """A line of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {key}")


def child(name: str, mode: str, plan: str, steps: int) -> dict[str, Any]:
    """One run: `mode` "plan" writes the plan; "plain" trains eagerly; else it is `on_mismatch` of the hook."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    case = CASES[name]
    model = case.make()
    optimizer = torch.optim.AdamW(model.parameters())
    if mode == "plan":
        roam.profile(model, next(case.batches(steps)), optimizer, loss=case.loss, fake=True).plan().save(plan)
        return {}
    hooked = None
    if mode == "plain":

        def step(batch: Any) -> Any:
            value = case.loss(model, batch) if case.loss else model(batch)
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            return value.detach()

    else:
        step = hooked = roam.hook(plan, model, optimizer, loss=case.loss, on_mismatch=mode)  # type: ignore[arg-type]
    began = time.perf_counter()
    base, resident, losses = status("VmRSS"), [], 0.0
    for number, batch in enumerate(case.batches(steps)):
        losses += float(step(batch))
        if case.every and number % case.every == 0:
            case.evaluate(model)
        if number % max(1, steps // 20) == 0:
            resident.append(status("VmRSS"))
    gc.collect()
    return {
        "base_bytes": base,
        "peak_bytes": status("VmHWM"),
        "resident_bytes": [*resident, status("VmRSS")],
        "seconds": round(time.perf_counter() - began, 2),
        "sum_of_losses": losses,
        "planned_steps": hooked.planned_steps if hooked else 0,
        "eager_steps": hooked.eager_steps if hooked else None,
        "reasons": hooked.reasons if hooked else {},
    }


def run(name: str, mode: str, plan: str, steps: int) -> dict[str, Any]:
    """`child` in a fresh process."""
    command = [sys.executable, "-W", "ignore", __file__, "--child", name, mode, plan, "--steps", str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{name}, {mode}: {done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--steps", type=int, default=2000, help="of the case of many steps")
    parser.add_argument("-o", "--output", default=str(ROOT / "benchmarks" / "results" / "hook_memory.json"))
    parser.add_argument("--child", nargs=3)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(child(*asked.child, asked.steps)))
        return 0
    found: dict[str, Any] = {**described(), "cases": {}}
    for name in asked.cases.split(","):
        with tempfile.TemporaryDirectory() as folder:
            plan = f"{folder}/plan.roam.json"
            run(name, "plan", plan, asked.steps)
            rows_of = {mode: run(name, mode, plan, asked.steps) for mode in ("plain", *CASES[name].modes)}
        found["cases"][name] = rows_of
        for mode, row in rows_of.items():
            ways = "" if mode == "plain" else f", {row['planned_steps']} planned, {row['eager_steps']} eager"
            print(
                f"{name:12} {mode:8} peak {mib(row['peak_bytes']):>8} MiB, resident {mib(row['resident_bytes'][0])} to "
                f"{mib(row['resident_bytes'][-1])} MiB, {row['seconds']} s{ways}",
                flush=True,
            )
    write(asked.output, json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
