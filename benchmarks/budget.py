"""Memory against time of rewritten plans, each judged: python -m benchmarks.budget GRAPH... [--judge judge.py]

Prints, for each graph and extra time, the arena as a part of the captured peak, the arena over the plan's own live
peak, and the seconds that planning took (process start not included); then the means over the graphs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from roam_lab.ir import load_graph, save_graph
from roam_lab.plan import make_plan
from roam_lab.rewrite.bound import least_bytes

EXTRA_TIMES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.25, 0.33)


def measured(path: Path, extra_time: float, strategy: str, share: float | None, judge: str | None) -> dict[str, Any]:
    """One plan, by itself, and what the judge says of it."""
    began = time.perf_counter()
    graph = load_graph(path)
    if share is not None and graph.device is not None:
        graph = replace(graph, device=replace(graph.device, fused_share=share))
    plan = make_plan(graph, extra_time=extra_time, rewrite=strategy)
    seconds = time.perf_counter() - began
    row = {
        "graph": path.name.partition(".")[0],
        "allowed": extra_time,
        "extra_time": plan.extra_time,
        "arena/captured": plan.arena_bytes / plan.captured_peak_bytes,
        "arena/peak": plan.arena_bytes / plan.peak_bytes,
        "floor": least_bytes(graph) / plan.captured_peak_bytes,
        "strategy": plan.rewrite_strategy,
        "seconds": seconds,
    }
    if judge:
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder, "graph.json"), Path(folder, "plan.roam.json")
            save_graph(graph, given)
            plan.save(made)
            done = subprocess.run([sys.executable, judge, given, made], capture_output=True, text=True)
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
                f"{row['graph']:26} +{extra:4.0%} {row['arena/captured']:.4f} (floor "
                f"{row['floor']:.4f}) at +{row['extra_time']:.4f}, arena/peak {row['arena/peak']:.4f}, "
                f"{row['seconds']:5.1f} s, {row['strategy']}, {row.get('judged', 'not judged')}",
                flush=True,
            )
    for extra in asked.extra_time:
        parts = [row["arena/captured"] for row in rows if row["allowed"] == extra]
        print(f"mean at +{extra:.0%}: {sum(parts) / len(parts):.4f}")


if __name__ == "__main__":
    main()
