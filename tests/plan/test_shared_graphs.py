"""Captured training steps, judged by the judge that shares no code with us.

The automatic plan of each; and every order and layout of the registry, whatever it finds, on one step each with a short
time limit. `ROAM_SLOW_TESTS=1` runs them on every step, with 30 s.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from roam_lab.ir import load_graph
from roam_lab.order.bound import lower_bound
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.problem import problem_of
from roam_lab.plan import make_plan
from roam_lab.registry import find, strategies
from tests.captured import ALL, JUDGE, step_file
from tests.twins import sampled

# Name -> the most MiB that the plan may need (DESIGN, measured beforehand).
STEPS = {
    "gpt2_seq128_batch1_adamw": 294.5,
    "vit_b16_batch1_adamw": 116.2,
    "resnet50_batch1_adamw": 90.2,
    "gpt2_xl_seq128_batch1_adamw_fused": 1501.1,
    "efficientnet_b0_batch1_adamw": 87.1,
    "bert_base_batch32_adamw": 4947.6,
    "gpt2_seq128_batch32_adamw": 7564.6,
    "resnet50_batch32_adamw": 2627.9,
}
ROOT = Path(__file__).parents[2]
SLOW = os.environ.get("ROAM_SLOW_TESTS") == "1"
LIMIT_SECONDS = 30.0 if SLOW else 3.0
FOR_ORDERS = ALL if SLOW else ("resnet50_batch1_adamw",)
FOR_LAYOUTS = ALL if SLOW else ("efficientnet_b0_batch1_adamw",)
OURS = [entry for entry in strategies() if entry.function.__module__.startswith("roam_lab.")]


@pytest.mark.parametrize("name", sampled([name for name in ALL if name in STEPS], 4))
def test_a_captured_step(name: str, tmp_path: Path) -> None:
    source, target = step_file(name), tmp_path / "p.roam.json"
    plan = make_plan(load_graph(source))
    plan.save(target)
    command = [sys.executable, str(JUDGE), str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    figures = json.loads(done.stdout)
    assert figures["peak"] <= STEPS[name] * 2**20
    assert figures["arena_over_peak"] <= 1.002
    assert plan.optimal
    assert plan.seconds < 20  # generous: the machine may be busy


@pytest.fixture(scope="module")
def one_run() -> Iterator[ModuleType]:
    """The benchmark's module, which looks for its own beside itself; tests/test_benchmarks.py runs it as a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("one_run")


def judged_run(one_run: ModuleType, name: str, order: str, layout: str) -> dict[str, object]:
    """The benchmark's row for one pair: what the strategies find as it stands, judged."""
    job = {"kind": "graph", "file": str(step_file(name)), "order": order, "layout": layout}
    row: dict[str, object] = one_run.on_graph({**job, "time_limit": LIMIT_SECONDS})
    assert row.get("judged") == "accepted", row
    return row


@cache
def proven_bytes(name: str) -> int:
    """What no legal order of that step undercuts."""
    graph = load_graph(step_file(name))
    return lower_bound(graph, best_pass(problem_of(graph))).bytes


def has_limit(room: str, name: str) -> bool:
    """Whether that strategy promises to stop."""
    entry = find("order" if room == "order" else "layout", name)
    return any(parameter.name == "time_limit" for parameter in entry.parameters)


@pytest.mark.parametrize("name", FOR_ORDERS)
@pytest.mark.parametrize("order", [entry.name for entry in OURS if entry.room == "order"])
def test_every_order_is_judged_legal(one_run: ModuleType, order: str, name: str) -> None:
    row = judged_run(one_run, name, order, "best_fit")
    assert row["peak_bytes"] >= proven_bytes(name)
    if has_limit("order", order):
        assert row["order_seconds"] <= 3 * LIMIT_SECONDS + 10  # generous: the machine may be busy


@pytest.mark.parametrize("name", FOR_LAYOUTS)
@pytest.mark.parametrize("layout", [entry.name for entry in OURS if entry.room == "layout"])
def test_every_layout_is_judged_legal(one_run: ModuleType, layout: str, name: str) -> None:
    row = judged_run(one_run, name, "list", layout)
    assert row["arena_bytes"] >= row["peak_bytes"]
    if has_limit("layout", layout):
        assert row["layout_seconds"] <= 3 * LIMIT_SECONDS + 10
