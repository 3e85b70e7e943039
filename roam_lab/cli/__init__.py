"""The `roam` command: a thin face of the actions in `app`."""

from roam_lab.cli.command import main

__all__ = ["main"]
