"""The file of a sweep: one row a line, each appended at once, so that a kill at any moment loses one row at most."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from roam_lab.errors import FormatError, InputError, OutputError
from roam_lab.sweeps.points import NAMES, SweepPoint
from roam_lab.sweeps.rows import FAILED, FORMAT, INFEASIBLE, PLANNED

BEGINNING = json.dumps({"format": FORMAT})[:-1].encode()
"""How every row begins. An incomplete last line is a torn row only if it begins like this."""
FIGURES = (
    "resident_bytes", "eager_peak_bytes", "captured_peak_bytes", "peak_bytes", "arena_bytes", "step_bytes",
    "lower_bound_bytes",
)  # fmt: skip


class RowsFile:
    """The rows of a file, by key (the last of each); more can be appended. `torn`: the length in bytes of an incomplete
    last line, which is cut off. One writer at a time.

    Raises InputError where another sweep writes to it, FormatError for a file of another kind, which is left as it is,
    OutputError where it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise OutputError(f"{path}: not a file; a sweep goes on from its rows, so choose a file")
            self._lock()
            data = self.path.read_bytes()
            rows, whole = parsed(self.path, data)
            self.rows = {row["key"]: row for row in rows}
            self.torn = len(data) - whole
            if self.torn:
                os.ftruncate(self._descriptor, whole)
            elif data and not data.endswith(b"\n"):  # an editor has removed the last newline
                self._write(b"\n")
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, row: dict[str, Any]) -> None:
        """Write one row, now. Raises OutputError; the file then ends with the row before."""
        self._write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self.rows[row["key"]] = row

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def _write(self, line: bytes) -> None:
        before = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):  # where a disk is full, the second write says so
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise self._unwritable(error) from None

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{self.path}: another sweep writes to it; wait for it, or choose another file") from None
        except OSError:  # a file system without locks
            pass

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"{self.path}: cannot be written ({error.strerror or error}); choose another place")


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a sweep's file; a torn last line is left out. Raises InputError, FormatError."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return parsed(Path(path), data)[0]


def parsed(path: Path, data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The rows in `data`, and how many of its bytes hold them. Raises FormatError, which names the line."""
    *lines, last = data.split(b"\n")
    rows = [_row(f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    if not last.strip():
        return rows, len(data)
    try:
        return [*rows, _row(f"{path}:{len(lines) + 1}", last)], len(data)
    except FormatError:
        if last.startswith(BEGINNING) or BEGINNING.startswith(last):
            return rows, len(data) - len(last)
        raise


def _row(place: str, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise FormatError(f"{place}: not a row of a sweep; give a file that `roam sweep -o` wrote") from None
    if not isinstance(row, dict) or row.get("format") != FORMAT:
        found = row.get("format") if isinstance(row, dict) else None
        raise FormatError(f"{place}: its format is {found!r}, not {FORMAT!r}; give a file that `roam sweep -o` wrote")
    wrong = _wrong(row)
    if wrong:
        raise FormatError(f"{place}: the row's {wrong!r} is missing or not what it should be; take the line out")
    return row


def _wrong(row: dict[str, Any]) -> str | None:
    """The first key whose value a reader could not use."""
    if not isinstance(row.get("key"), str):
        return "key"
    if not isinstance(row.get("point"), dict) or not isinstance(row["point"].get("factory"), str):
        return "point"
    if row.get("status") not in (PLANNED, INFEASIBLE, FAILED):
        return "status"
    if row["status"] != PLANNED:
        return None if isinstance(row.get("error"), str) else "error"
    return next((key for key in FIGURES if type(row.get(key)) is not int), None) or next(
        (key for key in ("extra_time", "seconds") if not isinstance(row.get(key), int | float)), None
    )


def point_in(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of the row's point; missing ones have their defaults."""
    default = SweepPoint("file.py:factory").to_data()
    return {**default, **{name: value for name, value in row["point"].items() if name in NAMES}}
