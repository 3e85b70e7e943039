"""`roam sweep`: many points into one file, and its table. `roam whatif`: a few of one step, side by side."""

from __future__ import annotations

import argparse

from roam_lab.app.terminal import INTERRUPTED, remark, say, say_json
from roam_lab.progress import TerminalProgress


def sweep_or_show(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    """Run or show; the exit status is 1 where a point has failed, as the others went on."""
    from roam_lab.sweeps.asked import table_asked_for

    try:
        made = table_asked_for(arguments, progress, remark)
    except KeyboardInterrupt:
        if arguments.output is None:
            raise
        remark(f"interrupted; the rows that are there stay in {arguments.output}, and the same command goes on")
        return INTERRUPTED
    if arguments.json:
        say_json({"rows": made.to_data()})
    else:
        say(made.text())
    if arguments.show is not None or not made.failed:
        return 0
    remark(f"{made.failed} of {len(made)} points failed, as their rows say; the same command runs them again")
    return 1


def what_ifs(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    """Capture what the factory makes, plan it as it is, and beside it what was asked for."""
    from roam_lab.app.workbench import Workbench
    from roam_lab.errors import InputError
    from roam_lab.sweeps.asked import what_ifs_asked_for

    bench, label = Workbench(progress), ""
    if arguments.profile is not None:
        bench.capture_without_weights(arguments.profile)
        label = arguments.profile.rpartition(":")[2]
        bench.plan_named(label, label)
    elif arguments.table is None:
        raise InputError("there is nothing to compare; name FILE.py:FACTORY, or the table of a sweep with --from")
    rows = what_ifs_asked_for(arguments, bench, label, progress)
    if arguments.json:
        say_json({"rows": rows.to_data()})
    else:
        say(rows.text())
    return 0
