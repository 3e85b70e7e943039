"""What `make demo-full` runs: GPT-2 124M, one training step captured, planned, run and compared with eager bit for bit.

Prints a table and leaves in demo_output/, for batch 1 and 4: the plan (.roam.json), the graph (.json.gz) and the memory
over time (.svg).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import roam_lab as roam
from roam_lab.capture.factory import load_factory
from roam_lab.ir import write_text
from roam_lab.plan import Plan, Profile
from roam_lab.progress import TerminalProgress
from roam_lab.report.pictures import plan_picture
from roam_lab.report.text import table
from roam_lab.report.units import bytes_text
from roam_lab.runtime.verification import Verification
from roam_lab.runtime.verify import verify_file

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "demo_output"
BATCHES = (1, 4)
STEPS, PAIRS = 4, 5


def main() -> int:
    """Exit status: 0 when every run was bit-identical, else 1."""
    began = time.perf_counter()
    OUTPUT.mkdir(exist_ok=True)
    columns = []
    identical = True
    for batch in BATCHES:
        print(f"GPT-2 124M, AdamW, {batch} x 128 tokens: capturing, measuring, planning, running ...", flush=True)
        with TerminalProgress() as progress:
            profile, plan, result = demonstrate(batch, progress)
        columns.append(column(batch, profile, plan, result))
        identical &= result.identical
        for difference in result.differences:
            print(difference)
    labels = (label for label, _ in columns[0])
    print()
    print(table([(label, *(dict(found)[label] for found in columns)) for label in labels], frozenset({1, 2})))
    print(f"\nmeasured: {STEPS} steps with dropout on, each run in a process of its own; peaks are above its base,")
    print("which holds the resident bytes. bit-identical: loss, parameters, buffers and optimizer state at the end.")
    names = ", ".join(sorted(path.name for path in OUTPUT.iterdir()))
    print(f"{OUTPUT.relative_to(ROOT)}/ holds {names}")
    print(f"{time.perf_counter() - began:.0f} s in all")
    return 0 if identical else 1


def demonstrate(batch: int, progress: TerminalProgress) -> tuple[Profile, Plan, Verification]:
    """Capture, measure, plan, write the files, then run eager and planned in processes of their own."""
    factory = f"{ROOT / 'examples' / 'gpt2.py'}:factory_batch{batch}"
    stem = OUTPUT / f"gpt2_batch{batch}"
    profile = roam.profile(**load_factory(factory), name=f"GPT-2 124M, batch {batch}", progress=progress)
    plan = profile.plan(progress=progress)
    profile.save(f"{stem}.json.gz")
    plan.save(f"{stem}.roam.json")
    write_text(f"{stem}.svg", plan_picture(plan, profile))
    return profile, plan, verify_file(factory, f"{stem}.roam.json", steps=STEPS, pairs=PAIRS, progress=progress)


def column(batch: int, profile: Profile, plan: Plan, result: Verification) -> list[tuple[str, str]]:
    """The figures of one batch size, as (label, text)."""
    return [
        ("", f"batch {batch}"),
        ("whole step, eager", bytes_text(profile.resident_bytes + profile.eager_bytes)),
        ("whole step, planned", bytes_text(profile.resident_bytes + plan.arena_bytes)),
        ("resident", bytes_text(profile.resident_bytes)),
        ("eager peak", bytes_text(profile.captured_peak_bytes)),
        ("simulated eager reservation", bytes_text(profile.reservation().above_resident)),
        ("planned peak", bytes_text(plan.peak_bytes)),
        ("lower bound of any order", bytes_text(plan.lower_bound_bytes)),
        ("proven optimal", "yes" if plan.optimal else f"no, at most {plan.gap:.1%} above"),
        ("arena", bytes_text(plan.arena_bytes)),
        ("measured peak, eager", bytes_text(result.eager.peak_above_base_bytes)),
        ("measured peak, planned", bytes_text(result.planned.peak_above_base_bytes)),
        ("step time, planned / eager", f"{result.time_ratio:.2f}"),
        ("bit-identical", "yes" if result.identical else "NO"),
    ]


if __name__ == "__main__":
    sys.exit(main())
