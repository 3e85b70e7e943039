"""Budgets kept and predicted times, measured: python -m benchmarks.budget_measured {time,plan,run,pair} MODEL

`time` captures a model of benchmarks/models.py and times its ops; `plan` makes a plan for each of 12 budgets, evenly
from what needs no rewriting to the least known; `run` runs each plan a few steps, and the plan that rewrites nothing
before, between and after for comparison. `pair` times each plan in turns with the plan that rewrites nothing, in one
process: the median of the ratios does not see how fast the machine is from one minute to the next. It is no measure
where ops allocate much themselves (ResNet-50): memory of the one plan makes the other give its own back. Both are
resumable and stop by themselves (--seconds). What is made between lies in build/budget/; rows are added to
benchmarks/results/budget_measured.jsonl and budget_paired.jsonl.

Memory is the process's peak (VmHWM) above what it held before the arena was made; time is the least of the steps after
the first, which makes the arena's memory. `--processor-time`: the processor's time instead of the clock's, with one
thread, for a machine that does other work, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from roam_lab.capture import Captured, TrainingStep, capture_step, prime_optimizer
from roam_lab.capture.factory import load_factory
from roam_lab.capture.step import as_step
from roam_lab.ir import load_graph, save_graph
from roam_lab.plan import Plan, load_plan, make_plan
from roam_lab.rewrite.frontier import frontier
from roam_lab.runtime import timing
from roam_lab.runtime.arena_pool import ArenaPool
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.heap import collect
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.plan_check import check_plan
from roam_lab.runtime.process_peak import PeakMeter
from roam_lab.runtime.step_guards import guards_of

ROOT = Path(__file__).resolve().parents[1]
BETWEEN, RESULTS = ROOT / "build" / "budget", ROOT / "benchmarks" / "results" / "budget_measured.jsonl"
PAIRED = RESULTS.with_name("budget_paired.jsonl")
BUDGETS = 12


class Made:
    """A model, its step as captured, and the optimizer with its state."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        made = load_factory(f"{ROOT / 'benchmarks' / 'models.py'}:{name}")
        self.model, self.batch, self.optimizer = made["model"], made["batch"], made["optimizer"]
        self.training = TrainingStep(self.model, self.optimizer, as_step(made.get("loss")))
        self.captured: Captured = capture_step(self.model, self.optimizer, self.batch, self.training.function)

    def primed(self) -> None:
        """With the optimizer state that the first step would make."""
        named = dict(self.model.named_parameters())
        prime_optimizer(self.optimizer, [named[name] for name in self.captured.trace.updated])


def time_ops(name: str) -> None:
    """Save the captured graph with its times."""
    made = Made(name)
    graph = timing.timed_graph(made.captured, made.model, made.optimizer, made.batch, made.training.function)
    BETWEEN.mkdir(parents=True, exist_ok=True)
    save_graph(graph, BETWEEN / f"{name}.json.gz")
    print(name, graph.times, graph.device, f"{sum(op.time_us or 0 for op in graph.ops) / 1e6:.3f} s", flush=True)


def make_plans(name: str) -> None:
    """Save the plan of each budget, and one that rewrites nothing."""
    graph = load_graph(BETWEEN / f"{name}.json.gz")
    free = make_plan(graph, rewrites=())
    free.save(BETWEEN / f"{name}_none.roam.json")
    least = make_plan(graph, extra_time=frontier(graph, BUDGETS)[-1].extra_time).arena_bytes
    for number in range(BUDGETS):
        arena = free.arena_bytes - (free.arena_bytes - least) * number // (BUDGETS - 1)
        plan = make_plan(graph, budget=graph.resident_bytes + arena + (number == BUDGETS - 1) * arena // 100)
        plan.save(BETWEEN / f"{name}_{number}.roam.json")
        print(f"{name} {number}: arena {plan.arena_bytes / 2**20:,.1f} of {arena / 2**20:,.1f} MiB at "
              f"+{plan.extra_time:.3f}, {plan.seconds:.1f} s", flush=True)  # fmt: skip


def run_plans(name: str, seconds: float, threads: int, count: int) -> None:
    """Run the plans whose rows are not there yet."""
    began = time.perf_counter()
    left = _left(name, RESULTS)
    if not left:
        return
    made = Made(name)
    made.primed()
    slowest = 0.0
    base = _run(made, name, None, count)
    for place, number in enumerate(left):
        before = time.perf_counter()
        if before - began + 2 * slowest > seconds:
            break
        found = _run(made, name, number, count)
        if place % 4 == 3 or number == left[-1]:
            base = {**base, "seconds": min(base["seconds"], _run(made, name, None, count)["seconds"])}
        slowest = max(slowest, time.perf_counter() - before)
        row = {
            "model": name, "number": number, "threads": threads, "clock": timing.host_seconds.__name__,
            "resident_bytes": made.captured.graph.resident_bytes, **found,
            "measured_extra_time": round(found["seconds"] / base["seconds"] - 1, 4), "base_seconds": base["seconds"],
        }  # fmt: skip
        with RESULTS.open("a") as out:
            out.write(json.dumps(row) + "\n")
        over = row["peak_bytes"] / row["arena_bytes"]
        print(f"{name} {number}: peak / arena {over:.4f}, {row['measured_extra_time']:+.3f} for "
              f"{row['extra_time']:+.3f}, {row['steps']}", flush=True)  # fmt: skip


def _run(made: Made, name: str, number: int | None, count: int) -> dict[str, Any]:
    """What `count` steps of one plan took."""
    pool = ArenaPool()
    plan, compiled = _compiled(made, name, number, pool)
    collect()
    steps = []
    with PeakMeter() as meter:
        for _ in range(count):
            before = timing.host_seconds()
            compiled.run(made.batch)
            steps.append(round(timing.host_seconds() - before, 4))
    pool.release()
    peak = meter.result.above_base_bytes
    found = {"arena_bytes": plan.arena_bytes, "extra_time": plan.extra_time, "peak_bytes": peak}
    print(name, number, steps, f"{peak / 2**20:.1f} MiB, arena {plan.arena_bytes / 2**20:.1f}", flush=True)
    return {**found, "seconds": min(steps[1:] or steps), "steps": steps}


def _compiled(made: Made, name: str, number: int | None, pool: ArenaPool) -> tuple[Plan, Compiled]:
    """A plan, and what runs it; `number` None: the plan that rewrites nothing."""
    plan: Plan = load_plan(BETWEEN / f"{name}_{'none' if number is None else number}.roam.json")
    check_plan(made.captured, plan)
    guards = guards_of(made.training, made.captured.trace)
    return plan, Compiled(made.captured, plan, made.training, ModelTree(made.model), pool, guards)


def run_pairs(name: str, seconds: float, threads: int, count: int) -> None:
    """Time the plans whose rows are not there yet, each `count` times in turn with the plan that rewrites nothing."""
    began = time.perf_counter()
    left = _left(name, PAIRED)
    if not left:
        return
    made = Made(name)
    made.primed()
    _, base = _compiled(made, name, None, ArenaPool())
    _seconds(base, made)
    slowest = 0.0
    for number in left:
        before = time.perf_counter()
        if before - began + slowest > seconds:
            break
        pool = ArenaPool()
        plan, compiled = _compiled(made, name, number, pool)
        _seconds(compiled, made)  # makes the arena's memory
        pairs = [(_seconds(base, made), _seconds(compiled, made)) for _ in range(count)]
        pool.release()
        slowest = max(slowest, time.perf_counter() - before)
        row = {
            "model": name, "number": number, "threads": threads, "arena_bytes": plan.arena_bytes,
            "extra_time": plan.extra_time, "pairs": pairs,
            "measured_extra_time": round(statistics.median(ours / theirs for theirs, ours in pairs) - 1, 4),
        }  # fmt: skip
        with PAIRED.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(f"{name} {number}: {row['measured_extra_time']:+.3f} for {plan.extra_time:+.3f}, {pairs}", flush=True)


def _seconds(compiled: Compiled, made: Made) -> float:
    before = timing.host_seconds()
    compiled.run(made.batch)
    return round(timing.host_seconds() - before, 4)


def _left(name: str, results: Path) -> list[int]:
    """The budgets that have no row yet, spread so that a few of them tell of all."""
    done = {(row["model"], row["number"]) for row in _rows(results)}
    return [
        number
        for number in sorted(range(BUDGETS), key=lambda number: number * 5 % BUDGETS)
        if (name, number) not in done
    ]


def _rows(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def main() -> None:
    """One stage of some models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("time", "plan", "run", "pair"))
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=330)
    asked = parser.parse_args()
    if asked.processor_time:
        timing.host_seconds, asked.threads = time.process_time, 1
    torch.set_num_threads(asked.threads)
    for name in asked.models:
        if asked.stage == "time":
            time_ops(name)
        elif asked.stage == "plan":
            make_plans(name)
        elif asked.stage == "pair":
            run_pairs(name, asked.seconds, asked.threads, asked.steps)
        else:
            run_plans(name, asked.seconds, asked.threads, asked.steps)


if __name__ == "__main__":
    sys.exit(main())
