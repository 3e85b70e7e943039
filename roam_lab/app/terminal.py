"""What the `roam` command writes: results to standard output, remarks to standard error."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from roam_lab.errors import OutputError
from roam_lab.report.safe_text import printable

INTERRUPTED, BROKEN_PIPE = 130, 141
"""What shells report of a process ended by SIGINT and by SIGPIPE."""


def remark(sentence: str) -> None:
    """One line on standard error."""
    print(printable(f"roam: {' '.join(sentence.split())}"), file=sys.stderr)


def say(text: str) -> None:
    """Write to standard output, now. Raises OutputError when it is full, BrokenPipeError when nobody reads on."""
    try:
        print(text, flush=True)
    except OSError as error:
        # Python's own flush at exit must not stumble over what could not be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        reason = error.strerror or error
        raise OutputError(f"standard output: cannot be written ({reason}); choose another place") from None


def say_json(data: dict[str, Any]) -> None:
    say(json.dumps(data, allow_nan=False))
