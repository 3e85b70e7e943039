"""`roam sweep`: many points into one file, and its table."""

from __future__ import annotations

import argparse

from roam_lab.progress import TerminalProgress
from roam_lab.terminal import INTERRUPTED, remark, say, say_json


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
