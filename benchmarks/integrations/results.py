"""The rows of the result file, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LIBRARIES = ("plain", "accelerate", "trainer", "lightning")
PARTS = ("whole", "resumed")
COMPARED = ("losses", "evaluations", "norms", "weights", "optimizer", "random")
"""What a training leaves that is the same, hooked and eager, to the last bit."""

Row = dict[str, Any]
Key = tuple[str, str, str]


def read(path: str | Path) -> dict[Key, Row]:
    """(size, library, mode) -> its row; none where there is no file."""
    if not Path(path).exists():
        return {}
    rows = json.loads(Path(path).read_text(encoding="utf-8"))["rows"]
    return {(row["size"], row["library"], row["mode"]): row for row in rows}


def faults(rows: Iterable[Row]) -> list[str]:
    """What failed, what differs between hooked and eager, and hooked trainings that planned nothing."""
    told = []
    found = {(row["size"], row["library"], row["mode"]): row for row in rows}
    for (size, library, mode), row in found.items():
        name = f"{size} {library}"
        if "error" in row:
            told.append(f"{name} {mode}: {row['error']}")
            continue
        lengths = {"whole": row["steps"], "resumed": row["steps"] // 2}
        for part, steps in lengths.items():
            if len(row[part]["losses"]) != steps or len(row[part]["evaluations"]) < steps // row["evaluate"]:
                told.append(f"{name} {mode}, {part}: {len(row[part]['losses'])} losses and "
                            f"{len(row[part]['evaluations'])} evaluations in {steps} steps")  # fmt: skip
        eager = found.get((size, library, "eager"))
        if mode != "hooked" or eager is None or "error" in eager:
            continue
        for part, steps in lengths.items():
            told += [f"{name}, {part}: {differing}" for differing in _differences(eager[part], row[part])]
            if row[part]["planned_steps"] < steps - 2:
                told.append(f"{name}, {part}: {row[part]['planned_steps']} of {steps} steps were planned: "
                            f"{row[part]['reasons']}")  # fmt: skip
    return told


def _differences(eager: Row, hooked: Row) -> Iterable[str]:
    for key in COMPARED:
        one, other = eager[key], hooked[key]
        if repr(one) == repr(other):
            continue
        if isinstance(one, list):
            at = next(
                (at for at, pair in enumerate(zip(one, other, strict=False)) if repr(pair[0]) != repr(pair[1])), None
            )
            which = "their number" if at is None else f"the one at {at}: {one[at]!r} eager, {other[at]!r} hooked"
            yield f"{key} differ, first {which}"
        else:
            yield f"{key} differ"
