"""Planning of captured graphs: every graph with every strategy, each as its own `roam plan` process.

    python benchmarks/planning.py [GRAPH ...] [--orders auto,list] [--layouts auto] [-o FILE.json]

Default graphs: all of ../shared/graphs. Default strategies: every registered order with the auto layout, and every
registered layout with the auto order. Columns: peak, proven bound, arena (MiB), seconds of planning and of the whole
process, and the process's peak resident memory. Writes JSON and, beside it, the table as markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import described, mib, write

from roam_lab.errors import RoamError
from roam_lab.ir import read_json
from roam_lab.registry import strategies

ROOT = Path(__file__).resolve().parents[1]
GRAPHS = ROOT.parent / "shared" / "graphs"
JUDGE = ROOT.parent / "shared" / "judge.py"
ROAM = "import sys; from roam_lab.cli import main; sys.exit(main())"


def run(graph: Path, order: str, layout: str, time_limit: float | None, judged: bool) -> dict[str, Any]:
    """One `roam plan` process; its row, or what it said on failing."""
    row: dict[str, Any] = {
        "graph": graph.name.removesuffix(".gz").removesuffix(".json"),
        "order": order,
        "layout": layout,
    }
    with tempfile.TemporaryDirectory(prefix="roam-bench-") as folder:
        plan = str(Path(folder) / "plan.roam.json")
        command = [sys.executable, "-c", ROAM, "plan", str(graph), "-o", plan, "--order", order, "--layout", layout]
        command += ["--json"] + (["--time-limit", str(time_limit)] if time_limit else [])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        began = time.perf_counter()
        with tempfile.TemporaryFile() as log:
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()
        row["process_seconds"] = round(time.perf_counter() - began, 3)
        row["peak_resident_bytes"] = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        if child.returncode:
            row["error"] = said[-1] if said else f"exit status {child.returncode}"
            return row
        data = read_json(plan)
        for key in ("peak_bytes", "lower_bound_bytes", "arena_bytes", "captured_peak_bytes", "optimal", "seconds"):
            row[key] = data[key]
        if judged and JUDGE.exists():
            verdict = subprocess.run([sys.executable, JUDGE, graph, plan], capture_output=True, text=True, check=False)
            row["judged"] = "accepted" if verdict.returncode == 0 else (verdict.stderr or verdict.stdout).strip()[-300:]
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a markdown table."""
    lines = [
        "| graph | order | layout | captured | peak | bound | optimal | arena | plan s | process s | RSS MiB | judge |",
        "|---|---|---|---:|---:|---:|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        start = f"| {row['graph']} | {row['order']} | {row['layout']} "
        end = f"{row['process_seconds']:.2f} | {mib(row['peak_resident_bytes'])} | {row.get('judged', '')} |"
        if "error" in row:
            lines.append(f"{start}| {row['error']} | | | | | | {end}")
            continue
        sizes = " | ".join(mib(row[f"{key}_bytes"]) for key in ("captured_peak", "peak", "lower_bound"))
        proof = "yes" if row["optimal"] else "no"
        lines.append(f"{start}| {sizes} | {proof} | {mib(row['arena_bytes'])} | {row['seconds']:.2f} | {end}")
    return "\n".join(lines)


def main() -> int:
    """Run, print the table, write JSON and markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", nargs="*", type=Path)
    parser.add_argument("--orders", help="comma-separated; default: all")
    parser.add_argument("--layouts", help="comma-separated; default: all")
    parser.add_argument("--time-limit", type=float)
    parser.add_argument("--no-judge", action="store_true")
    parser.add_argument("-o", "--output", default=str(ROOT / "benchmarks" / "results" / "planning.json"))
    arguments = parser.parse_args()
    graphs = arguments.graphs or sorted(GRAPHS.glob("*.json*"))
    if not graphs:
        parser.error(f"no graphs in {GRAPHS}; name some")
    orders = arguments.orders.split(",") if arguments.orders else [found.name for found in strategies("order")]
    layouts = arguments.layouts.split(",") if arguments.layouts else [found.name for found in strategies("layout")]
    # auto with auto first; then each order under the auto layout, each layout under the auto order
    pairs = dict.fromkeys(
        [(order, "auto") for order in sorted(orders, key="auto".__ne__)] + [("auto", x) for x in layouts]
    )
    if arguments.orders and arguments.layouts:
        pairs = dict.fromkeys((order, layout) for order in orders for layout in layouts)
    rows = []
    for graph in graphs:
        for order, layout in pairs:
            row = run(graph, order, layout, arguments.time_limit, not arguments.no_judge)
            rows.append(row)
            print(table([row]).splitlines()[-1], file=sys.stderr, flush=True)
    try:
        print(table(rows))
        write(arguments.output, json.dumps({**described(), "rows": rows}, indent=1))
        write(str(Path(arguments.output).with_suffix(".md")), table(rows))
    except RoamError as error:
        print(f"planning.py: {error}", file=sys.stderr)
        return error.exit_status
    return int(any("error" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
