"""How planning grows: generated steps of 1,000 to 100,000 ops, and `roam` over its partition granularity.

    python benchmarks/scaling.py [--orders auto,list,...] [--sizes 1000,...] [--graphs resnet50_batch1,...]
                                 [--node-limits 8,...] [--time-limit 60] [--keep | --fresh]

Rows go to benchmarks/results/scaling.json as they come, two pictures and the page to docs/ (with -o, beside it). A
strategy that took longer than twice its limit at one size is not run at the next. Resumes as planning.py does.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from line_chart import line_chart
from planning import OUTPUT, files, told
from planning_page import PAGE, SCALING, page
from runner import ROOT, Job, Results, run_all

from roam_lab.errors import RoamError
from roam_lab.ir import save_graph, write_text
from roam_lab.registry import strategies

sys.path.insert(0, str(ROOT))
from tests.plan.training_step import OPS_A_BLOCK, training_step

ORDERS = ("auto", "list", "roam", "dominant", "exact", "lescea", "lpmf", "dfs", "inductor", "model_ilp")
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
NODE_LIMITS = (8, 16, 32, 64, 128, 256, 512, 1024)
GRAPHS = "resnet50_batch1,vit_b16_batch1,gpt2_seq128_batch1,gpt2_xl"


def growth(orders: list[str], sizes: list[int], limit: float, results: Results) -> None:
    """Sizes upwards; an order whose process failed or took longer than twice its limit stays behind."""
    with tempfile.TemporaryDirectory(prefix="roam-bench-") as folder:
        for size in sizes:
            file = f"{folder}/{size}.json.gz"
            save_graph(training_step(max(1, round(size / OPS_A_BLOCK))), file)
            jobs = [Job("graph", f"training_step_{size}", file, order, "auto", limit) for order in orders]
            run_all(jobs, results, 1, told)
            orders = [job.order for job in jobs if job.order and _in_time(results.rows[job.key], limit)]


def _in_time(row: dict[str, Any], limit: float) -> bool:
    return "error" not in row and row["order_seconds"] + row["layout_seconds"] < 2 * limit


def pictures(results: Results, folder: Path) -> None:
    """planning_growth.svg and planning_node_limit.svg."""
    rows = [row for row in results.rows.values() if "error" not in row]
    grown: dict[str, list[tuple[float, float]]] = {}
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        seconds = max(row["order_seconds"] + row["layout_seconds"], 0.001)
        if row["node_limit"] is None:
            grown.setdefault(row["order"], []).append((row["ops"], seconds))
        else:
            name = row["name"].removesuffix("_adamw").removesuffix("_adamw_fused").replace("_seq128", "")
            curves.setdefault(name, []).append((row["node_limit"], max(row["leaves"]["seconds"], 0.001)))
    if grown:
        drawn = line_chart("Planning a step of N ops", "ops", "seconds of order and layout", grown)
        write_text(folder / "planning_growth.svg", drawn)
    if curves:
        drawn = line_chart(
            "The order roam over node_limit", "ops a leaf", "seconds of all leaves together", curves, NODE_LIMITS
        )
        write_text(folder / "planning_node_limit.svg", drawn)


def main() -> int:
    """Run what is missing, draw, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = {entry.name for entry in strategies("order")}
    parser.add_argument("--orders", default=",".join(name for name in ORDERS if name in known))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="ops; an empty text: none")
    parser.add_argument("--graphs", default=GRAPHS, help="of ../shared/graphs, for the curve; an empty text: none")
    parser.add_argument("--node-limits", default=",".join(map(str, NODE_LIMITS)))
    parser.add_argument("--time-limit", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--keep", action="store_true", help="keep rows of older planning code")
    parser.add_argument("--fresh", action="store_true", help="measure everything anew")
    parser.add_argument("-o", "--output", default=str(SCALING))
    arguments = parser.parse_args()
    orders, sizes, limits = (
        [word for word in text.split(",") if word]
        for text in (arguments.orders, arguments.sizes, arguments.node_limits)
    )
    for name in set(orders) - known:
        parser.error(f"--orders: there is no {name}; of {', '.join(sorted(known))}")
    if arguments.fresh and Path(arguments.output).exists():
        os.unlink(arguments.output)
    results = Results(arguments.output, arguments.keep)
    try:
        growth(orders, [int(size) for size in sizes], arguments.time_limit, results)
        if "roam" in known and (ROOT.parent / "shared").is_dir():
            jobs = [
                # every leaf by integer program: where a certificate settles them, as it does here, there is no curve
                Job("graph", name, file, "roam", "auto", arguments.time_limit, int(limit), "all")
                for name, file in files("graphs", arguments.graphs).items()
                for limit in limits
            ]
            run_all(jobs, results, 1, told)
        official = arguments.output == str(SCALING)
        pictures(results, PAGE.parent if official else Path(arguments.output).parent)
        if official and OUTPUT.exists():
            write_text(PAGE, page(str(OUTPUT)))
    except RoamError as error:
        print(f"scaling.py: {error}", file=sys.stderr)
        return error.exit_status
    return int(any("error" in row for row in results.rows.values()))


if __name__ == "__main__":
    sys.exit(main())
