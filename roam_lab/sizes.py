"""Sizes of memory as people write and read them; exact figures stay beside them."""

from __future__ import annotations

from roam_lab.errors import ParameterError

UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1))


def bytes_of(text: str) -> int:
    """Bytes: "600000000", or with a binary unit, "512MiB", "1.5GiB". Raises ParameterError for anything else."""
    number, unit = next(((text[:-3], unit) for end, unit in UNITS[:-1] if text.endswith(end)), (text, 1))
    try:
        value = int(number) if unit == 1 else int(float(number) * unit)
    except (ValueError, OverflowError):
        value = -1
    if value < 0:
        raise ParameterError(f"{text!r} is not a size; give bytes, or such as 512MiB")
    return value


def unit_for(size: int) -> tuple[str, int]:
    """The largest binary unit that `size` bytes fill at least once, as (name, bytes): ("MiB", 1048576)."""
    return next(((name, unit) for name, unit in UNITS if size >= unit), UNITS[-1])


def bytes_text(size: int) -> str:
    """`size` bytes in the unit that fits: "7.39 GiB", "294.3 MiB", "17 B"."""
    name, unit = unit_for(size)
    if unit == 1:
        return f"{size:,} B"
    return f"{size / unit:,.{2 if name == 'GiB' else 1}f} {name}"


def exact_text(size: int) -> str:
    """`size` with every digit: "308,588,544 bytes"."""
    return f"{size:,} byte{'' if size == 1 else 's'}"


def change_text(before: int, after: int) -> str:
    """The change from `before` to `after` in percent: "-52.7 %"; "" when there was nothing before."""
    if not before:
        return ""
    change = 100 * (after - before) / before
    return "0.0 %" if abs(change) < 0.05 else f"{change:+.1f} %"


def share_text(part: int, whole: int) -> str:
    """`part` of `whole` in percent: "2.50 %"."""
    return f"{100 * part / whole:.2f} %" if whole else "0.00 %"


def step_text(eager: int, planned: int) -> str:
    """What a whole step takes, eager and then planned, in bytes: "346.7 -> 284.7 MiB, -17.9 %".

    This is the headline of a plan wherever one is told.
    """
    before, after = (bytes_text(size) for size in (eager, planned))
    if before.split()[1] == after.split()[1]:
        before = before.split()[0]
    change = change_text(eager, planned)
    return f"{before} -> {after}, {change}" if change else f"{before} -> {after}"
