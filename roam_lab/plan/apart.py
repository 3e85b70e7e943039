"""Planning in a child process, so that its memory (up to 100 MiB of solvers and compiled searches) is freed
afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from roam_lab.interrupt import deaf_children
from roam_lab.ir import Graph, captured_order, live_peak
from roam_lab.ir.graph_json import save_graph
from roam_lab.plan.plan import Plan
from roam_lab.plan.plan_json import load_plan
from roam_lab.plan.planner import make_plan
from roam_lab.rewrite.kinds import FREE

LEAST_BYTES = 16 * 2**20
"""A step whose captured peak is below this is planned in this process: starting a child takes a second."""
CLOSE_ENOUGH = 0.02
"""How far the arena of such a small step may lie above its live peak: the search for the last bytes takes a minute."""


def goals_of(plan: Plan) -> dict[str, Any]:
    """The goals of `plan` as arguments of `make_plan`, to plan a changed step alike: its seed, the kinds of rewriting
    that it has, and its extra time."""
    kinds = sorted({rewrite.kind for rewrite in plan.rewrites})
    costly = not set(kinds) <= set(FREE)
    return {"seed": plan.seed, "rewrites": kinds, **({"extra_time": max(plan.extra_time, 0.0)} if costly else {})}


def plan_apart(graph: Graph, *, environment: Mapping[str, str], **goals: Any) -> Plan:
    """The plan that `make_plan` makes of `graph` for `goals`, made in a child process.

    Where no child can be started, or the step is small, this process plans. Raises what `make_plan` raises.
    """
    if live_peak(graph, captured_order(graph)).bytes < LEAST_BYTES:
        near = {} if "layout" in goals else {"layout_parameters": {"close": CLOSE_ENOUGH}}
        return make_plan(graph, environment=environment, **{**near, **goals})
    plan = _by_child(replace(graph, environment=environment), goals)
    if plan is None:
        return make_plan(graph, environment=environment, **goals)
    return plan if plan.rewrites else replace(plan, graph=graph)


def _by_child(graph: Graph, goals: Mapping[str, Any]) -> Plan | None:
    with tempfile.TemporaryDirectory(prefix="roam_plan_") as folder:
        asked, answer = Path(folder, "graph.json"), Path(folder, "plan.roam.json")
        save_graph(graph, asked)
        wanted = json.dumps(dict(goals))
        command = [sys.executable, str(Path(__file__).with_name("apart_child.py")), str(asked), str(answer), wanted]
        nowhere = subprocess.DEVNULL
        try:
            with deaf_children():
                child = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        except (OSError, TypeError):  # a Python inside another program may not know its own name
            return None
        try:
            child.wait()
        finally:
            child.kill()
        return load_plan(answer, graph) if child.returncode == 0 else None
