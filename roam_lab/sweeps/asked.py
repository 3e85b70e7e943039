"""Runs the sweep that was asked for, or shows the table of an earlier one: the same for both faces."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from roam_lab.app.arguments import parse
from roam_lab.errors import InputError
from roam_lab.progress import Progress
from roam_lab.report.whatifs import WhatIf, WhatIfs
from roam_lab.sweeps.at_hand import add_table, add_what_ifs, points_of
from roam_lab.sweeps.points import SweepPoint, grid
from roam_lab.sweeps.sweeping import load_sweep, sweep
from roam_lab.sweeps.table import SweepTable

if TYPE_CHECKING:
    from roam_lab.app.workbench import Workbench

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


def what_ifs_asked_for(
    arguments: argparse.Namespace,
    bench: Workbench,
    label: str,
    progress: Progress,
    added: Callable[[WhatIf], None] = lambda row: None,
) -> WhatIfs:
    """Make the what-ifs of the profile `label` that were asked for, and those of a table, and return all of its model
    and of the table. Raises InputError, FormatError."""
    found = []
    if arguments.table is not None:
        progress(f"reading {arguments.table}", 0.0)
        found = add_table(bench, arguments.table, label if arguments.profile else None)
    if _axes(arguments) != _axes(parse("command", ["whatif"])):
        if not label:
            raise InputError("there is no step to vary; name FILE.py:FACTORY")
        add_what_ifs(bench, label, grid_of(arguments, label), progress, added)
    models = dict.fromkeys([*([label] if label else []), *(row.model for row in found)])
    rows = WhatIfs()
    for model in models:
        rows.take(bench.what_ifs.of(model))
    return rows


def grid_of(arguments: argparse.Namespace, label: str) -> list[SweepPoint]:
    """Every combination of what was given for the profile `label`. Raises InputError."""
    return points_of(label, **_axes(arguments))


def _axes(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in (*AXES, *SETTINGS)}


def _points(arguments: argparse.Namespace) -> list[SweepPoint]:
    for text in arguments.factories:
        if ".py:" not in text and text.endswith((".jsonl", ".json")):
            raise InputError(f"{text}: not FILE.py:FACTORY; show the table of an earlier sweep with --show {text}")
    if not arguments.factories:
        raise InputError("there is nothing to sweep over; name FILE.py:FACTORY, or an earlier table with --show")
    return grid(*arguments.factories, **_axes(arguments))
