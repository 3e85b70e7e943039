"""One strategy on one graph or layout instance, in a process of its own: reads a job, prints one JSON row.

    python benchmarks/one_run.py '{"kind": "graph", "file": "g.json.gz", "order": "auto", "layout": "auto"}'

What a strategy finds is measured as it stands (`roam plan` would fall back on the captured order where that is better)
and judged by tests/judge.py, which shares no code with us. Times are of the strategy alone, after a run on a tiny
problem: imports and compilation are not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rivals

from roam_lab.errors import RoamError
from roam_lab.ir import (
    Graph,
    Layout,
    Lifetime,
    Op,
    Storage,
    captured_order,
    check_layout,
    check_order,
    fingerprint,
    lifetimes,
    live_peak,
    load_graph,
    save_graph,
)
from roam_lab.ir.layout_csv import load_instance
from roam_lab.order.bound import lower_bound
from roam_lab.order.outcome import run
from roam_lab.plan import Plan
from roam_lab.plan.planner import lay_out
from roam_lab.registry import Strategy, find

JUDGE = Path(__file__).resolve().parents[1] / "tests" / "judge.py"
TINY = Graph(
    "tiny",
    (Storage(4), Storage(40), Storage(30), Storage(8, output=True)),
    (
        Op("a", "t", (), (0,)),
        Op("b", "t", (0,), (1,), (0,)),
        Op("c", "t", (0,), (2,), (0,)),
        Op("d", "t", (1, 2), (3,), (1, 2)),
    ),
)


def on_graph(job: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an order and a layout on a graph."""
    order_strategy, layout_strategy = find("order", job["order"]), find("layout", job["layout"])
    graph = load_graph(job["file"])
    values, places = _values(order_strategy, job), _values(layout_strategy, job)
    lay_out(TINY, run(order_strategy, TINY, values).order, layout_strategy, places)
    began = time.perf_counter()
    outcome = run(order_strategy, graph, values)
    order_seconds = time.perf_counter() - began
    with order_strategy.judged():
        check_order(graph, outcome.order)
    began = time.perf_counter()
    layout = lay_out(graph, outcome.order, layout_strategy, places)
    layout_seconds = time.perf_counter() - began
    peak = live_peak(graph, outcome.order).bytes
    bound = outcome.lower_bound_bytes
    if job["order"] == "auto":
        bound = max(bound, lower_bound(graph, outcome.order).bytes)
    return {
        "ops": len(graph.ops),
        "captured_peak_bytes": live_peak(graph, captured_order(graph)).bytes,
        "peak_bytes": peak,
        "lower_bound_bytes": bound,
        "arena_bytes": layout.arena_bytes,
        "order_seconds": round(order_seconds, 4),
        "layout_seconds": round(layout_seconds, 4),
        "timed_out": outcome.timed_out,
        "note": outcome.note,
        "leaves": _leaves(outcome.tasks),
        "judged": _judged(graph, outcome.order, layout, peak, job["file"]),
    }


def on_instance(job: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a layout on a CSV instance."""
    strategy = find("layout", job["layout"])
    instance = load_instance(job["file"])
    values = _values(strategy, job)
    strategy.function(lifetimes(TINY, captured_order(TINY)), **values)
    began = time.perf_counter()
    layout = strategy.function(instance.problem, **values)
    seconds = time.perf_counter() - began
    with strategy.judged():
        check_layout(instance.problem, layout)
    graph, storage_of = as_graph(instance.problem)
    offsets = {storage_of[life.storage]: layout.offsets[life.storage] for life in instance.problem}
    moved = Layout(offsets, layout.arena_bytes)
    return {
        "buffers": len(instance.problem),
        "peak_bytes": instance.peak_bytes,
        "arena_bytes": layout.arena_bytes,
        "layout_seconds": round(seconds, 4),
        "judged": _judged(graph, captured_order(graph), moved, instance.peak_bytes),
    }


def as_graph(lives: tuple[Lifetime, ...]) -> tuple[Graph, dict[int, int]]:
    """A chain of ops whose storages have these lifetimes, for the judge; and each buffer's storage in it."""
    steps = max((life.end for life in lives), default=0)
    creates: list[list[int]] = [[] for _ in range(steps)]
    touches: list[list[int]] = [[] for _ in range(steps)]
    for storage, life in enumerate(lives):
        creates[life.start].append(storage)
        if life.end - 1 > life.start:
            touches[life.end - 1].append(storage)
    ops = tuple(
        Op(f"op_{step}", "t", (step - 1,) if step else (), tuple(creates[step]), tuple(touches[step]))
        for step in range(steps)
    )
    graph = Graph("instance", tuple(Storage(life.bytes) for life in lives), ops)
    return graph, {life.storage: storage for storage, life in enumerate(lives)}


def _values(strategy: Strategy, job: Mapping[str, Any]) -> dict[str, Any]:
    declared = {parameter.name for parameter in strategy.parameters}
    knobs = {key: job.get(key) for key in ("time_limit", "node_limit", "seed", "leaves")}
    return strategy.accept({key: value for key, value in knobs.items() if value is not None and key in declared})


def _leaves(tasks: Any) -> dict[str, Any] | None:
    """How ROAM's leaves ended."""
    if tasks is None:
        return None
    leaves = list(tasks.leaves())
    ends = {status: sum(leaf.status == status for leaf in leaves) for status in ("optimal", "feasible", "timed out")}
    seconds = [leaf.solve_seconds for leaf in leaves]
    return {"count": len(leaves), "seconds": round(sum(seconds), 4), "slowest_seconds": round(max(seconds), 4), **ends}


def _judged(graph: Graph, order: tuple[int, ...], layout: Layout, peak: int, file: str | None = None) -> str:
    """What the judge that shares no code with us says."""
    captured = live_peak(graph, captured_order(graph)).bytes
    with tempfile.TemporaryDirectory(prefix="roam-bench-") as folder:
        source, target = file or str(Path(folder) / "graph.json"), Path(folder) / "plan.roam.json"
        if file is None:
            save_graph(graph, source)
        Plan(
            graph_sha256=fingerprint(graph),
            order=order,
            offsets=layout.offsets,
            arena_bytes=layout.arena_bytes,
            peak_bytes=peak,
            lower_bound_bytes=0,
            captured_peak_bytes=captured,
            optimal=False,
            order_strategy="",
            layout_strategy="",
            seconds=0.0,
        ).save(target, bare=True)
        verdict = subprocess.run([sys.executable, JUDGE, source, target], capture_output=True, text=True, check=False)
    return "accepted" if verdict.returncode == 0 else (verdict.stderr or verdict.stdout).strip()[-300:]


def main() -> int:
    """Run the job of the command line; an error is a row, too."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the row stands alone on standard output: what a library prints goes to standard error
    job = json.loads(sys.argv[1])
    try:
        for name, reason in rivals.missing((job["order"], job["layout"])).items():
            raise RoamError(f"{name} is not here: {reason}")
        row = on_graph(job) if job["kind"] == "graph" else on_instance(job)
    except RoamError as error:
        row = {"error": str(error)}
    print(f"\n{json.dumps(row)}", file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
