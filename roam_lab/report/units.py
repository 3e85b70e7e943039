"""Bytes and shares as people read them; exact figures stay beside them."""

from __future__ import annotations

UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1))


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
