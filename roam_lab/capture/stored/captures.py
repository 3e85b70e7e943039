"""The captures that are kept on disk: found by key, read, held against this process, thrown away."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roam_lab.capture.stored import NotStoredError
from roam_lab.errors import RoamError
from roam_lab.ir.files import read_json, write_bytes
from roam_lab.ir.kept_files import make_room

FORMAT = "roam-capture/3"
SUFFIX = ".capture.json.gz"
MOST_BYTES = 256 * 2**20
"""Of a folder; beyond it, the captures that were not used for longest go."""


@dataclass(frozen=True)
class Entry:
    """A capture as it was read. `graph_sha256`: of the graph that it makes; `picture`, `code`: see `stored`. `log`: of
    the eager step that led it; `literals`: see `EagerRun`; `outcome`: what that step left in Python. `passed`: a place
    of proof (runtime/proof.py) -> the proof that a step was the eager one there, bit by bit. `unread`: paths of what
    the step does not read, as was found out when something else stood there."""

    path: Path
    trace: Mapping[str, Any]
    graph_sha256: str
    picture: Mapping[str, Any]
    code: frozenset[str]
    log: Mapping[str, Any]
    literals: tuple[str, ...]
    outcome: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    passed: Mapping[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """Where the capture of a step is, or will be; `entry`: what was found there."""

    path: Path
    entry: Entry | None


def entry_data(
    trace: Mapping[str, Any], graph_sha256: str, picture: Mapping[str, str], code: Collection[str],
    log: Mapping[str, Any], literals: Sequence[str], outcome: Mapping[str, Sequence[str]],
) -> dict[str, Any]:  # fmt: skip
    """What an entry holds, before a plan has passed."""
    return {
        "format": FORMAT, "graph_sha256": graph_sha256, "picture": picture, "code": sorted(code), "trace": trace,
        "log": log, "literals": list(literals), "outcome": outcome,
    }  # fmt: skip


def throw_away(path: Path) -> None:
    """An entry that did not pass."""
    with suppress(OSError):
        path.unlink()


class CaptureFolder:
    """A folder of captures, which several processes may share. `tell` hears why one is not used, or not written."""

    def __init__(self, folder: Path, tell: Callable[[str], None], most_bytes: int = MOST_BYTES) -> None:
        self.folder, self._tell, self._most_bytes = folder, tell, most_bytes

    def path(self, key: str) -> Path:
        """Where the capture of a key lies."""
        return self.folder / f"{key}{SUFFIX}"

    def find(self, key: str) -> Entry | None:
        """The entry of a key; None where there is none, or a damaged one, which a new one will replace."""
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            data = read_json(path)
            parts = [data.get(name) for name in ("trace", "picture", "log")] + [data.get("passed", {})]
            if data.get("format") != FORMAT or not all(isinstance(part, dict) for part in parts):
                raise NotStoredError(f"{path}: no {FORMAT}")
            code = frozenset(map(str, data["code"]))
            unread = tuple(map(str, data.get("unread", ())))
            literals = tuple(map(str, data["literals"]))
            outcome = {str(name): (str(before), str(after)) for name, (before, after) in data["outcome"].items()}
            found = Entry(
                path, data["trace"], str(data["graph_sha256"]), data["picture"], code, data["log"], literals, outcome,
                data.get("passed", {}), unread,
            )  # fmt: skip
        except (RoamError, AttributeError, KeyError, TypeError, ValueError) as error:
            self._tell(f"a capture in the cache is not used: {str(error).partition(';')[0]}")
            return None
        with suppress(OSError):
            os.utime(path)  # used last
        return found

    def keep(self, path: Path, data: Mapping[str, Any]) -> None:
        """Write an entry, whole or not at all. Where it cannot be written, a remark says so."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(data, separators=(",", ":"))
            write_bytes(path, gzip.compress(text.encode(), compresslevel=1, mtime=0))
            make_room(self.folder, SUFFIX, self._most_bytes)
        except (RoamError, OSError) as error:
            what = str(error).partition(";")[0]
            self._tell(f"the capture is not kept for the next start: {what}; set ROAM_CACHE to another folder")

    def note_unread(self, path: Path, unread: str) -> None:
        """Of an entry that was kept. Where it is gone, or damaged, by now, nothing is noted."""
        with suppress(RoamError, OSError):
            data = read_json(path)
            data["unread"] = sorted({*data.get("unread", ()), unread})
            self.keep(path, data)

    def note_passed(self, path: Path, place: str, proof: Mapping[str, Any]) -> None:
        """Of an entry that was kept: see `Entry.passed`. Where it is gone, or damaged, by now, nothing is noted."""
        with suppress(RoamError, OSError):
            data = read_json(path)
            passed = data.get("passed", {})
            self.keep(path, {**data, "passed": {**(passed if isinstance(passed, dict) else {}), place: proof}})
