"""The parser of the `roam` command and the `%roam` magic, and of each of their actions."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from roam_lab.errors import InputError


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are InputErrors of one line, and that guesses no abbreviations.

    No option begins with a digit, so "-1GiB" is a value wherever it stands: its type says what is wrong with it.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})
        self._negative_number_matcher = re.compile(r"-(\.?\d|inf|nan)")  # argparse's own knows "-1" and "-.5" alone

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but an action refuses what it does not know itself: its own help is the one to read."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and self._subparsers is None:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{' '.join(message.split())}; see {self.prog} --help")
