"""The measured memory curve of one eager step beside the predicted one of the captured order, on CPU.

    python benchmarks/curves.py [--models gpt2_b1,...] [-o FILE.json]

Three peaks a model: that of the storages a dispatch mode follows (what `roam.profile` measures), that of the CPU
allocator's own events (torch's profiler, no dispatch mode: kernels' workspaces included), and the predicted one.
Where measured and predicted differ by more than 5 %, the sentences that say why.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from machine import described, mib, write
from models import MODELS

from roam_lab.capture import as_step, capture_step
from roam_lab.capture.factory import load_factory
from roam_lab.ir import captured_order, live_curve
from roam_lab.measure.compare_measured import compare
from roam_lab.measure.eager import measure_eager

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.measure.allocator import allocator_peak

HERE = Path(__file__).parent
DEFAULT = ("gpt2_b1", "gpt2_b4", "bert_b1", "resnet50_b8")


def run(name: str) -> dict[str, Any]:
    """One row."""
    torch.manual_seed(0)
    made = load_factory(f"{HERE / 'models.py'}:{name}")
    step = as_step(made.get("loss"))
    parts = (made["model"], made["optimizer"], made["batch"])
    measured = measure_eager(*parts, step)
    graph = capture_step(*parts, step).eager_graph
    predicted = live_curve(graph, captured_order(graph)).tolist()
    step(*parts)  # makes the optimizer's state, which the allocator must not count
    return {
        "model": name,
        "operators": len(measured.labels),
        "ops": len(graph.ops),
        "measured_peak_bytes": measured.peak_bytes,
        "allocator_peak_bytes": allocator_peak(lambda: step(*parts)),
        "predicted_peak_bytes": max(predicted),
        "differences": compare(measured, predicted, [op.target for op in graph.ops], [op.phase for op in graph.ops]),
    }


def main() -> int:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(DEFAULT), help=f"of {', '.join(MODELS)}")
    parser.add_argument("-o", "--output", default=str(HERE / "results" / "curves.json"))
    arguments = parser.parse_args()
    rows = [run(name) for name in arguments.models.split(",")]
    print("| model | measured MiB | allocator MiB | predicted MiB | predicted / measured |\n|---|---:|---:|---:|---:|")
    for row in rows:
        ratio = row["predicted_peak_bytes"] / row["measured_peak_bytes"]
        sizes = " | ".join(mib(row[f"{key}_peak_bytes"]) for key in ("measured", "allocator", "predicted"))
        print(f"| {row['model']} | {sizes} | {ratio:.3f} |")
        for sentence in row["differences"]:
            print(f"  {sentence}", file=sys.stderr)
    write(arguments.output, json.dumps({**described(), "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
