"""Every order and layout on every graph and layout instance, ours and the real rivals: peaks, arenas, seconds, memory.

    python benchmarks/planning.py [--graphs resnet50,...] [--instances A,...] [--orders auto,...] [--layouts auto,...]
                                  [--time-limit 30] [--workers 1] [--keep | --fresh] [--page-only]

Graphs of ../shared/graphs: each order with the auto layout, each layout with the auto order, and the pairs that stand
for a published planner (PAIRS). Instances of ../shared/layouts: each layout. Each run has a process of its own. Rows
go to benchmarks/results/planning.json as they come; a second run does only what is not there yet, unless the planning
code has changed since (--keep keeps such rows, too; --fresh keeps none). At the end docs/planning.md is written;
what --fresh replaced stands beside it (benchmarks/results/planning_earlier.json).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import rivals
from planning_page import EARLIER, PAGE, as_earlier, page
from runner import ROOT, Job, Results, run_all

from roam_lab.errors import RoamError
from roam_lab.ir import read_json, write_text
from roam_lab.registry import strategies

SHARED = ROOT.parent / "shared"
OUTPUT = ROOT / "benchmarks" / "results" / "planning.json"
PAIRS = (("captured", "caching_allocator"), ("lescea", "llfb"), ("model_ilp", "model_ilp"), ("roam", "roam"))
"""Eager PyTorch, ROAM's heuristic rival, its ILP rival, and ROAM."""


def files(folder: str, wanted: str | None) -> dict[str, str]:
    """Name -> path of the files in a folder of ../shared whose name begins with one of the `wanted`."""
    found = {path.name.split(".")[0]: path for path in sorted((SHARED / folder).iterdir())}
    if SHARED.joinpath(folder, "somas_pangu_2.6B.csv.gz") in found.values():
        found = {name.replace("somas_pangu_2", "somas_pangu_2.6B"): path for name, path in found.items()}
    starts = None if wanted is None else tuple(filter(None, wanted.split(",")))
    return {name: str(path) for name, path in found.items() if starts is None or (starts and name.startswith(starts))}


def chosen(room: str, asked: str | None) -> list[str]:
    """The names asked for, all of the registry (the rivals of this benchmark included) unless some are."""
    known = [entry.name for entry in strategies("order" if room == "order" else "layout")]
    names = known if asked is None else [name for name in asked.split(",") if name]
    for name in names:
        if name not in known:
            raise RoamError(f"--{room}s: there is no {name!r}; of {', '.join(known)}")
    return names


def all_jobs(arguments: argparse.Namespace) -> list[Job]:
    """What there is to run; a filter on orders alone leaves the layouts out, and the other way round."""
    orders = chosen("order", arguments.orders if arguments.layouts is None else arguments.orders or "")
    layouts = chosen("layout", arguments.layouts if arguments.orders is None else arguments.layouts or "")
    pairs = [(order, "auto") for order in orders] + [("auto", layout) for layout in layouts]
    everything = arguments.orders is None and arguments.layouts is None
    known = {(entry.room, entry.name) for entry in strategies()}
    pairs += [(o, x) for o, x in PAIRS if everything and ("order", o) in known and ("layout", x) in known]
    jobs = [
        Job("graph", name, file, order, layout, arguments.time_limit)
        for name, file in files("graphs", arguments.graphs).items()
        for order, layout in dict.fromkeys(pairs)
    ]
    return jobs + [
        Job("instance", name, file, None, layout, arguments.time_limit)
        for name, file in files("layouts", arguments.instances).items()
        for layout in layouts
    ]


def told(row: dict[str, Any]) -> None:
    """One line on standard error."""
    what = f"{row['name']} {row['order'] or ''} {row['layout']}"
    figures = row.get("error") or f"peak {row['peak_bytes']:,} arena {row['arena_bytes']:,} {row['judged']}"
    print(f"{what}: {figures} ({row['process_seconds']:.1f} s)", file=sys.stderr, flush=True)


def main() -> int:
    """Run what is missing, write the page; exit status 1 when a judge refused something or a process failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("graphs", "instances", "orders", "layouts"):
        parser.add_argument(f"--{name}", metavar="NAME,...", help="default: all; an empty text: none")
    parser.add_argument("--time-limit", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--workers", type=int, default=1, choices=(1, 2), help="processes at a time")
    parser.add_argument("--keep", action="store_true", help="keep rows of older planning code")
    parser.add_argument("--fresh", action="store_true", help="measure everything anew")
    parser.add_argument("--page-only", action="store_true", help="write the page of what is there")
    parser.add_argument("-o", "--output", default=str(OUTPUT))
    parser.add_argument("--page", default=str(PAGE))
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        parser.error(f"{SHARED} with graphs and layouts is not here")
    if arguments.fresh and Path(arguments.output).exists():
        if Path(arguments.output) == OUTPUT:
            write_text(EARLIER, as_earlier(read_json(OUTPUT)))
        os.unlink(arguments.output)
    results = Results(arguments.output, arguments.keep or arguments.page_only)
    try:
        jobs = [] if arguments.page_only else all_jobs(arguments)
        absent = rivals.missing()
        for name, reason in absent.items():
            print(f"{name} is left out: {reason}", file=sys.stderr)
        run_all([job for job in jobs if not {job.order, job.layout} & set(absent)], results, arguments.workers, told)
        write_text(arguments.page, page(arguments.output))
    except RoamError as error:
        print(f"planning.py: {error}", file=sys.stderr)
        return error.exit_status
    failed = [row["key"] for row in results.rows.values() if row.get("judged") != "accepted"]
    for key in failed:
        print(f"not accepted: {key}: {results.rows[key].get('error') or results.rows[key]['judged']}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
