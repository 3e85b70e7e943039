"""What `roam fit` says eager needs, against eager steps on the CPU: the peak of the process without Python and torch.

    python benchmarks/eager_in_ram.py examples/gpt2.py:factory_batch4 --batch 8

Twice, each in a process of its own: as glibc's malloc does by default (it keeps much of what is freed), and where it
gives back every block of 1 MiB or more (MALLOC_MMAP_THRESHOLD_).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from machine import described

SETTINGS = {"default": {}, "gives back blocks of 1 MiB": {"MALLOC_MMAP_THRESHOLD_": "1048576"}}
GIB = 2**30


def predicted(factory: str, batch: int) -> dict[str, int]:
    """Of the whole step, resident included: with how little eager runs."""
    from roam_lab.app.workbench import Workbench

    bench = Workbench()
    bench.capture_without_weights(factory)
    [point] = bench.fit(None, [batch], ()).points
    return {"predicted_bytes": point.least("eager"), "resident_bytes": point.resident_bytes}


def measured(factory: str, batch: int, steps: int) -> dict[str, float]:
    """Peak of this process over some eager steps, above what it held before there was a model."""
    from roam_lab.capture import as_step
    from roam_lab.capture.batch_size import resized
    from roam_lab.capture.factory import load_factory
    from roam_lab.runtime.heap import collect, resident_bytes
    from roam_lab.runtime.process_peak import PeakMeter

    made = load_factory(factory)
    inputs = resized(made["batch"], batch)
    collect()
    storages = [tensor.untyped_storage() for tensor in made["model"].state_dict().values()]
    base = resident_bytes() - sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    step = as_step(made.get("loss"), made.get("step"))
    with PeakMeter() as meter:
        for _ in range(steps):
            loss = step(made["model"], made["optimizer"], inputs)
    return {"peak_bytes": meter.result.peak_bytes - base, "loss": float(loss)}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("factory", metavar="FILE.py:FACTORY")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measured(asked.factory, asked.batch, asked.steps)))
        return
    row = {**described("cpu"), "factory": asked.factory, "batch": asked.batch, **predicted(asked.factory, asked.batch)}
    for name, setting in SETTINGS.items():
        done = subprocess.run(
            [sys.executable, *sys.argv, "--child"],
            env={**os.environ, **setting},
            capture_output=True,
            text=True,
            check=True,
        )
        peak = json.loads(done.stdout.splitlines()[-1])["peak_bytes"]
        row[name] = {"peak_bytes": peak, "predicted / measured": round(row["predicted_bytes"] / peak, 4)}
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
