"""How soon a script trains planned: GPT-2 124M hooked without a plan, in new processes that share one cache.

    python benchmarks/second_start.py [--batch 1] [--starts 3] [--output benchmarks/results/second_start.json]

From the model being built to the beginning of the first planned step and to the return of the first call, and how
long the calls after it take: at the first start (which captures, plans and is held against an eager step), and at
those after it. Peak: what the process took at most above what it had when the model was built. Needs transformers and
a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import described, write

LIMIT_SECONDS = 3.0
SCRIPT = """
import json, resource, sys, time
import torch
import roam_lab as roam
from roam_lab.runtime.compiled import Compiled
from transformers import GPT2Config, GPT2LMHeadModel

begins, run = [], Compiled.run
def noted(self, batch):
    begins.append(time.perf_counter())
    return run(self, batch)
Compiled.run = noted
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config())
optimizer = torch.optim.AdamW(model.parameters())
ids = torch.randint(0, 50257, (int(sys.argv[1]), 128))
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
built = time.perf_counter()
step = roam.hook(model, optimizer, cache=sys.argv[2])
seconds = []
for _ in range(4):
    began = time.perf_counter()
    step({"input_ids": ids, "labels": ids})
    seconds.append(time.perf_counter() - began)
    if len(seconds) == 1:
        first = time.perf_counter() - built
print(json.dumps({
    "batch": int(sys.argv[1]),
    "begins_seconds": round(begins[0] - built, 2),
    "first_call_seconds": round(first, 2),
    "planned_step_seconds": round(sorted(seconds[1:])[1], 2),
    "planned_steps": step.planned_steps,
    "peak_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1024,
    "notes": step.notes,
}))
"""


def started(batch: int, folder: str, script: Path) -> dict[str, object]:
    """A row: one start in a new process."""
    done = subprocess.run([sys.executable, script, str(batch), folder], check=True, capture_output=True, text=True)
    row: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    """Print and write the figures; exit 1 if a second start is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--starts", type=int, default=3, help="after the first")
    parser.add_argument("--output", default="benchmarks/results/second_start.json")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as home:
        script = Path(home, "train.py")
        script.write_text(SCRIPT)
        for number in range(1 + options.starts):
            rows.append({"start": number + 1, **started(options.batch, str(Path(home, "cache")), script)})
            print(rows[-1], flush=True)
    write(options.output, json.dumps({**described(), "limit_seconds": LIMIT_SECONDS, "rows": rows}, indent=1))
    begin = [float(str(row["begins_seconds"])) for row in rows[1:]]
    print(f"a planned step begins at the latest {max(begin):.2f} s after the model is built, limit {LIMIT_SECONDS} s")
    sys.exit(max(begin) > LIMIT_SECONDS)


if __name__ == "__main__":
    main()
