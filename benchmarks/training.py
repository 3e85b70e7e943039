"""Training steps, eager against planned: measured memory, step time, and whether the bits agree.

    python benchmarks/training.py [--device cpu|cuda] [--models gpt2_b1,...] [--steps 6] [--pairs 6] [-o FILE.json]

Every run has its own fresh process. Methods: eager with AdamW as torch picks it, with the fused kernel, with the
optimizer in the backward pass, and planned. Memory is the process peak above its base (CUDA: peak allocated above
base, and peak reserved); step times are medians after the first, planned / eager also from paired steps run in turn.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import described, mib, write
from models import KINDS, MODELS

from roam_lab.capture.device import check_device
from roam_lab.errors import RoamError
from roam_lab.ir import read_json
from roam_lab.runtime.identity import first_differences
from roam_lab.runtime.measured_run import RunFigures
from roam_lab.runtime.processes import FreshProcesses

FACTORIES = Path(__file__).with_name("models.py")
DEFAULT = ("gpt2_b1", "gpt2_b4", "bert_b1", "resnet50_b8")


def run_model(name: str, device: str, steps: int, pairs: int, methods: list[str]) -> list[dict[str, Any]]:
    """One row a method."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="roam-bench-") as folder:
        plan = str(Path(folder) / "plan.roam.json")
        base = {"device": device, "seed": 0, "steps": steps, "scheduler": False, "plan": plan, "plan_options": {}}

        def processes(kind: str = "") -> FreshProcesses:
            factory = f"{FACTORIES}:{name}{'_' + kind if kind else ''}"
            return FreshProcesses({**base, "factory": factory}, Path(folder))

        eager = processes().run("eager")
        rows.append(_row(name, "eager", eager))
        for kind in KINDS:
            if f"eager {kind}" in methods:
                rows.append(_row(name, f"eager {kind}", processes(kind).run("eager"), rows[0]))
        if "planned" in methods:
            ours = processes()
            ours.run("plan")
            planned = ours.run("planned")
            row = _row(name, "planned", planned, rows[0])
            row["differences"] = list(first_differences(eager["digests"], planned["digests"]))
            row["identical"] = not row["differences"]
            data = read_json(plan)
            for key in ("arena_bytes", "peak_bytes", "lower_bound_bytes", "captured_peak_bytes", "optimal"):
                row[key] = data[key]
            row["plan_seconds"] = data["seconds"]
            if pairs:
                row["paired_step_ratio"] = ours.run("paired", steps=pairs)["ratio"]
            rows.append(row)
    return rows


def _row(name: str, method: str, result: dict[str, Any], eager: dict[str, Any] | None = None) -> dict[str, Any]:
    figures = RunFigures.from_data(result["figures"])
    row = {"model": name, "method": method, **figures.to_data()}
    if eager is not None:
        row["memory_ratio"] = figures.peak_above_base_bytes / max(1, eager["peak_above_base_bytes"])
        row["time_ratio"] = figures.median_step_seconds / eager["median_step_seconds"]
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a markdown table."""
    lines = [
        "| model | method | peak above base MiB | vs eager | arena MiB | step s | vs eager (paired) | bit-identical |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        ratio = row.get("paired_step_ratio") or row.get("time_ratio")
        lines.append(
            f"| {row['model']} | {row['method']} | {mib(row['peak_above_base_bytes'])} | "
            f"{_two(row.get('memory_ratio'))} | {mib(row.get('arena_bytes'))} | {row['median_step_seconds']:.3f} | "
            f"{_two(ratio)} | {'' if 'identical' not in row else 'yes' if row['identical'] else 'NO'} |"
        )
    return "\n".join(lines)


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def main() -> int:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", default=",".join(DEFAULT), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--methods", default="eager fused,eager in_backward,planned")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("-o", "--output", help="default: benchmarks/results/training_DEVICE.json")
    arguments = parser.parse_args()
    output = arguments.output or f"{FACTORIES.parent}/results/training_{arguments.device}.json"
    names, methods = arguments.models.split(","), arguments.methods.split(",")
    for name in names:
        if name not in MODELS:
            parser.error(f"--models: there is no {name}; of {', '.join(MODELS)}")
    rows: list[dict[str, Any]] = []
    failed = 0
    try:
        check_device(arguments.device)
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            try:
                rows += run_model(name, arguments.device, arguments.steps, arguments.pairs, methods)
            except RoamError as error:  # the other models' figures are worth having
                print(f"training.py: {error}", file=sys.stderr)
                failed = error.exit_status
            write(output, json.dumps({**described(arguments.device), "rows": rows}, indent=1))
        print(table(rows))
    except RoamError as error:
        print(f"training.py: {error}", file=sys.stderr)
        return error.exit_status
    return failed


if __name__ == "__main__":
    sys.exit(main())
