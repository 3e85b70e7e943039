"""Layout instances as CSV (`id,lower,upper,size`): the format of the MiniMalloc and idealloc collections."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from roam_lab.errors import FormatError
from roam_lab.ir.files import read_bytes, write_text
from roam_lab.ir.layout import Layout
from roam_lab.ir.memory import Lifetime, lifetimes_curve

COLUMNS = ("id", "lower", "upper", "size")
LARGEST = 2**62
"""The most bytes that all sizes may add up to, so that sums stay exact in 64 bits."""


@dataclass(frozen=True)
class Instance:
    """Buffers to be placed. `lifetimes[i].storage` is i, and `ids[i]` the buffer's name in the file."""

    ids: tuple[str, ...]
    lifetimes: tuple[Lifetime, ...]

    @cached_property
    def problem(self) -> tuple[Lifetime, ...]:
        """What a layout strategy is given: the buffers that have bytes, with times replaced by their ranks. That
        changes no overlap, and keeps arrays over time short."""
        sized = [life for life in self.lifetimes if life.bytes]
        times = sorted({life.start for life in sized} | {life.end for life in sized})
        rank = {time: place for place, time in enumerate(times)}
        return tuple(replace(life, start=rank[life.start], end=rank[life.end]) for life in sized)

    @cached_property
    def peak_bytes(self) -> int:
        """The most bytes alive at once: no arena can be smaller."""
        return int(lifetimes_curve(self.problem).max(initial=0))


def load_instance(path: str | os.PathLike[str]) -> Instance:
    """Read an instance, gzipped or not; columns beyond the four are ignored.

    Raises InputError, or FormatError naming `file:line`, the column and what is wrong with it.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError(f"{path}: not a text; give a CSV with the columns {','.join(COLUMNS)}") from None
    ids: dict[str, int] = {}
    lifetimes: list[Lifetime] = []
    total = 0
    for line, row in _rows(text, path):
        name = row[0]
        if name in ids:
            raise FormatError(f"{path}:{line}: id {name!r} stands on line {ids[name]} already; ids must differ")
        ids[name] = line
        lower, upper, size = (
            _number(value, f"{path}:{line}: {column}") for column, value in zip(COLUMNS[1:], row[1:], strict=True)
        )
        if lower >= upper:
            raise FormatError(
                f"{path}:{line}: lower {lower} is not below upper {upper}; a buffer lives in [lower, upper)"
            )
        if size < 0:
            raise FormatError(f"{path}:{line}: size is {size}; sizes are never negative")
        total += size
        if total > LARGEST:
            raise FormatError(f"{path}:{line}: the sizes add up to more than 2**62 bytes; check their unit")
        lifetimes.append(Lifetime(len(lifetimes), lower, upper, size))
    return Instance(tuple(ids), tuple(lifetimes))


def _rows(text: str, path: str | os.PathLike[str]) -> Iterator[tuple[int, list[str]]]:
    """(line, the four cells) of every row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise FormatError(
                f"{path}:1: the header has no {' and no '.join(missing)}; the first line must be {','.join(COLUMNS)}"
            )
        places = [header.index(column) for column in COLUMNS]
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise FormatError(
                    f"{path}:{reader.line_num}: {len(row)} cells where the header has {len(header)}; "
                    "the line is truncated"
                )
            yield reader.line_num, [row[place].strip() for place in places]
    except csv.Error as error:
        raise FormatError(f"{path}:{reader.line_num}: not CSV ({error}); give {','.join(COLUMNS)}") from None


def _number(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise FormatError(f"{what} is {text[:40]!r}, not an integer; write plain digits") from None


def save_instance(
    path: str | os.PathLike[str], ids: Sequence[str], lifetimes: Sequence[Lifetime], layout: Layout
) -> None:
    """Write the buffers with their offsets, `id,lower,upper,size,offset`. Raises OutputError."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "offset"])
    for name, life in zip(ids, lifetimes, strict=True):
        writer.writerow([name, life.start, life.end, life.bytes, layout.offsets.get(life.storage, 0)])
    write_text(path, text.getvalue())
