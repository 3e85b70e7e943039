"""Memory against time of rewritten plans, each judged: python -m benchmarks.budget GRAPH... [--judge judge.py]

Prints, for each graph and extra time, the arena as a part of the captured peak, the arena over the plan's own live
peak, and the seconds that planning took (process start not included); then the means over the graphs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from roam_lab.ir import captured_order, fingerprint, graph_to_data, live_peak, load_graph, save_graph, write_text
from roam_lab.ir.graph import Graph
from roam_lab.ir.rewritten import Rewritten
from roam_lab.plan.rewriting import Placed, place
from roam_lab.rewrite.bound import least_bytes
from roam_lab.rewrite.frontier import found
from roam_lab.rewrite.points import Goals

EXTRA_TIMES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.25, 0.33)


def plan_data(graph: Graph, placed: Placed, extra_time: float, strategy: str, seconds: float) -> dict[str, Any]:
    """`roam-plan/2` of a rewritten graph: what the judge reads."""
    order = list(placed.order)
    return {
        "format": "roam-plan/2",
        "graph_sha256": fingerprint(graph),
        "order": order,
        "offsets": {str(storage): offset for storage, offset in placed.layout.offsets.items()},
        "arena_bytes": placed.layout.arena_bytes,
        "peak_bytes": placed.peak_bytes,
        "lower_bound_bytes": 0,
        "captured_peak_bytes": live_peak(graph, captured_order(graph)).bytes,
        "optimal": False,
        "extra_time": extra_time,
        "rewrites": _rewrites(placed.rewritten),
        "graph": _rewritten_data(placed.rewritten),
        "order_strategy": "rewritten",
        "layout_strategy": "auto",
        "rewrite_strategy": strategy,
        "seconds": seconds,
        "seed": 0,
        "environment": {},
    }


def _rewrites(rewritten: Rewritten) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    seen: set[int] = set()
    for number, (op, origin) in enumerate(zip(rewritten.graph.ops, rewritten.origins, strict=True)):
        if len(origin.ops) > 1:
            listed.append({"kind": "fuse", "op": number})
        if seen.intersection(origin.ops):
            listed.append({"kind": "recompute", "op": number})
        if any(place in op.writes for place in origin.results):
            listed.append({"kind": "in_place", "op": number})
        seen.update(origin.ops)
    return listed


def _rewritten_data(rewritten: Rewritten) -> dict[str, Any]:
    data = graph_to_data(rewritten.graph)
    for entry, origin in zip(data["ops"], rewritten.origins, strict=True):
        entry["origin"] = list(origin.ops) if len(origin.ops) > 1 else origin.ops[0]
        entry["results"] = list(origin.results)
        if len(origin.ops) > 1:
            entry["reads_as"], entry["writes_as"] = list(origin.reads), list(origin.writes)
        else:
            entry["reads"], entry["writes_as"] = list(origin.reads), list(origin.writes)
    return data


def measured(path: Path, extra_time: float, strategy: str, share: float | None, judge: str | None) -> dict[str, Any]:
    """One plan, by itself, and what the judge says of it."""
    began = time.perf_counter()
    graph = load_graph(path)
    if share is not None and graph.device is not None:
        graph = replace(graph, device=replace(graph.device, fused_share=share))
    known = found(graph, Goals((extra_time,)), strategy)
    point = known.at_most(extra_time)
    assert point is not None
    placed = place(point.rewritten())
    seconds = time.perf_counter() - began
    data = plan_data(graph, placed, point.extra_time, point.strategy, seconds)
    captured = data["captured_peak_bytes"]
    row = {
        "graph": path.name.partition(".")[0],
        "allowed": extra_time,
        "extra_time": point.extra_time,
        "arena/captured": placed.layout.arena_bytes / captured,
        "arena/peak": placed.layout.arena_bytes / placed.peak_bytes,
        "bound": max([bound.peak_bytes for bound in known.bounds], default=0) / captured,
        "floor": least_bytes(graph) / captured,
        "strategy": point.strategy,
        "seconds": seconds,
    }
    if judge:
        with tempfile.TemporaryDirectory() as folder:
            given, plan = Path(folder, "graph.json"), Path(folder, "plan.roam.json")
            save_graph(graph, given)
            write_text(plan, json.dumps(data))
            done = subprocess.run([sys.executable, judge, given, plan], capture_output=True, text=True)
        row["judged"] = "accepted" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-300:]
    return row


def main() -> None:
    """Print a row a plan, then the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graphs", nargs="+", type=Path)
    parser.add_argument("--judge")
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--share", type=float, help="fused_share instead of the graph's own")
    parser.add_argument("--extra-time", type=float, nargs="*", default=EXTRA_TIMES)
    asked = parser.parse_args()
    rows = []
    for path in asked.graphs:
        for extra in asked.extra_time:
            row = measured(path, extra, asked.strategy, asked.share, asked.judge)
            rows.append(row)
            print(
                f"{row['graph']:26} +{extra:4.0%} {row['arena/captured']:.4f} (bound {row['bound']:.4f}, floor "
                f"{row['floor']:.4f}) at +{row['extra_time']:.4f}, arena/peak {row['arena/peak']:.4f}, "
                f"{row['seconds']:5.1f} s, {row['strategy']}, {row.get('judged', 'not judged')}",
                flush=True,
            )
    for extra in asked.extra_time:
        parts = [row["arena/captured"] for row in rows if row["allowed"] == extra]
        print(f"mean at +{extra:.0%}: {sum(parts) / len(parts):.4f}")


if __name__ == "__main__":
    main()
