"""Result lines: one JSON object a line, on the disk as soon as there is one; what is damaged by a crash is passed over.

A line has `stage`, `cell`, `status`, `device` and, for a part of a cell, `part`. A cell's last line has no `part`, and
its `seconds`. `status`:

- done: it ran
- differs: it ran, and bits differ where they have to be equal
- not possible: this device, or what is installed, cannot do it; `reason` says why
- running: begun; stands for a crash where nothing follows
- failed, crashed, timeout: `reason` says what is known
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Line = dict[str, Any]
FINISHED = ("done", "differs", "not possible")


def append(path: Path, line: Line) -> None:
    """Write one line at the end of `path`, whole and to the disk."""
    text = json.dumps(line)
    with path.open("ab+") as file:
        if file.tell() and not _ends_in_newline(file):
            text = "\n" + text  # a process died while it wrote
        file.write(text.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _ends_in_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def read(path: Path) -> list[Line]:
    """The lines of `path`, those that are no JSON objects left out; none where there is no file."""
    lines: list[Line] = []
    if path.exists():
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                lines.append(line)
    return lines


def latest(lines: Iterable[Line]) -> dict[tuple[str, str, str | None], Line]:
    """(stage, cell, part or None) -> the last line of it."""
    return {(line["stage"], line["cell"], line.get("part")): line for line in lines}


def finished(lines: Iterable[Line], stage: str, cell: str) -> bool:
    """Whether a cell has run to its end, all of its parts included."""
    return latest(lines).get((stage, cell, None), {}).get("status") in FINISHED


def parts_of(lines: Iterable[Line], stage: str, cell: str) -> dict[str, Line]:
    """Part -> its last line, of one cell."""
    return {part: line for (at, of, part), line in latest(lines).items() if (at, of) == (stage, cell) and part}
