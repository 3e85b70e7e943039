"""The driver: every job in its turn, as long as time is left; what is in the results is not run again."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from pathlib import Path

from benchmarks.cuda import __doc__ as about
from benchmarks.cuda import results
from benchmarks.cuda.device import FAKE
from benchmarks.cuda.jobs import Job, all_jobs, differing, following
from benchmarks.cuda.page import write_page
from benchmarks.cuda.processes import Place, device_here, prepared, run_job
from benchmarks.machine import commit

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
NO_DEVICE = (
    "torch finds no CUDA device on this machine; run it on one with a GPU, or rehearse it on the fake device: "
    "make rehearse-cuda"
)
PURSUED = ("bits", "identity")
"""Stages whose differences take the rest of the time."""


def drive(jobs: list[Job], place: Place, seconds: float, again: tuple[str, ...] = (), go_on: bool = False) -> int:
    """Run `jobs` within `seconds`; returns how many were not run for want of time.

    Cells that are in the results and done are passed over, but for the stages in `again`. Where `bits` or `identity`
    find a difference, the rest of the time goes to what differs, unless `go_on`.
    """
    end = time.monotonic() + seconds
    waiting, known = list(jobs), results.read(place.results)
    pursuing = False
    while waiting:
        job = waiting.pop(0)
        if job.stage not in again and results.finished(known, job.stage, job.cell):
            continue
        left = end - time.monotonic()
        if left < 1:
            return 1 + len(waiting)
        line = run_job(job, place, left)
        _tell(job, line)
        known = results.read(place.results)
        waiting[:0] = following(job, known)
        more_to_come = any(one.stage in PURSUED for one in waiting)
        if not (go_on or pursuing or more_to_come) and job.stage in PURSUED and (found := differing(known)):
            print(f"bits differ: the rest of the time goes to {len(found)} of them", file=sys.stderr, flush=True)
            waiting, pursuing = found, True
    return 0


def _tell(job: Job, line: results.Line) -> None:
    reason = f": {line['reason']}" if "reason" in line else ""
    print(f"{line['seconds']:6.1f} s  {job.stage} {job.cell}: {line['status']}{reason}", file=sys.stderr, flush=True)


def main(words: list[str] | None = None) -> int:
    """Run what is asked for; 2 where there is no device, or the results are another's."""
    parser = argparse.ArgumentParser("python -m benchmarks.cuda", description=about,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--rehearse", action="store_true", help="tiny models and few cells, every stage")
    parser.add_argument("--minutes", type=float, default=600.0, help="no job begins after this long")
    parser.add_argument("--stages", help="these alone, such as bits,identity")
    parser.add_argument("--cells", default="", help="cells alone whose name has this in it, such as gpt2_b1_default")
    parser.add_argument("--again", default="", help="stages to run once more, though they are done")
    parser.add_argument("--go-on", action="store_true", help="all stages, also where bits differ")
    parser.add_argument("--plans", type=Path, help="where plans are read, and written where they can be made")
    parser.add_argument("--page", action="store_true", help="write docs/cuda.md from benchmarks/results")
    parser.add_argument("-o", "--output", type=Path, help="default: benchmarks/results/cuda.jsonl (cuda_fake.jsonl)")
    given = parser.parse_args(words)
    jobs = all_jobs(given.rehearse)
    stages = list(dict.fromkeys(job.stage for job in jobs))
    wanted = given.stages.split(",") if given.stages else stages
    again = tuple(filter(None, given.again.split(",")))
    for name in {*wanted, *again} - set(stages):
        parser.error(f"there is no stage {name}; choose of {', '.join(stages)}")
    processes = prepared()
    device = device_here(processes)
    if device is None:  # perhaps because something has touched it in the process that is forked
        processes = multiprocessing.get_context("spawn")
        device = device_here(processes)
    if device is None:
        print(f"bench-cuda: {NO_DEVICE}", file=sys.stderr)
        return 2
    fake = device == FAKE
    output = (given.output or RESULTS / f"cuda{'_fake' if fake else ''}.jsonl").resolve()
    others = {line.get("device") for line in results.read(output)} - {device}
    if others:
        print(f"bench-cuda: {output} holds lines of {', '.join(map(str, others))}, and this is {device}; "
              "choose another file with -o", file=sys.stderr)  # fmt: skip
        return 2
    work = ROOT / "build" / f"bench_cuda{'_fake' if fake else ''}"
    work.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    place = Place(output, work, (given.plans or work / "plans").resolve(), device, processes, commit())
    chosen = [job for job in jobs if job.stage in wanted and given.cells in job.cell]
    not_run = drive(chosen, place, 60 * given.minutes, again, given.go_on)
    if not_run:
        print(f"bench-cuda: no time was left for {not_run} cells; run it again to go on", file=sys.stderr)
    if given.page:
        write_page()
    return 0


if __name__ == "__main__":
    sys.exit(main())
