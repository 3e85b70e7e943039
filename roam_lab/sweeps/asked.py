"""What was parsed, as a sweep that is run, or as the table of an earlier one: the same for both faces."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from roam_lab.errors import InputError
from roam_lab.progress import Progress
from roam_lab.sweeps.points import SweepPoint, grid
from roam_lab.sweeps.sweeping import load_sweep, sweep
from roam_lab.sweeps.table import SweepTable

AXES = ("batch", "sequence", "dtype", "optimizer", "times", "budget", "extra_time", "order", "layout", "rewrite",
        "node_limit")  # fmt: skip
SETTINGS = ("rewrites", "time_limit", "seed")


def table_asked_for(arguments: argparse.Namespace, progress: Progress, tell: Callable[[str], None]) -> SweepTable:
    """Run the sweep, or read the file to show. Raises InputError and all that these raise."""
    if arguments.show is not None:
        if arguments.factories or arguments.output:
            raise InputError("--show runs nothing; leave it out, or leave the factories and -o out")
        progress(f"reading {arguments.show}", 0.0)
        return load_sweep(arguments.show)
    points = _points(arguments)
    if arguments.output is None:
        raise InputError("a sweep needs a file for its rows; name it with -o TABLE.jsonl")
    return sweep(points, to=arguments.output, jobs=arguments.jobs, progress=progress, tell=tell)


def _points(arguments: argparse.Namespace) -> list[SweepPoint]:
    for text in arguments.factories:
        if ".py:" not in text and text.endswith((".jsonl", ".json")):
            raise InputError(f"{text}: not FILE.py:FACTORY; show the table of an earlier sweep with --show {text}")
    if not arguments.factories:
        raise InputError("there is nothing to sweep over; name FILE.py:FACTORY, or an earlier table with --show")
    return grid(*arguments.factories, **{name: getattr(arguments, name) for name in (*AXES, *SETTINGS)})
