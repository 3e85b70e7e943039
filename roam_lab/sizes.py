"""Sizes of memory as people write them."""

from __future__ import annotations

from roam_lab.errors import ParameterError

_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def bytes_of(text: str) -> int:
    """Bytes: "600000000", or with a binary unit, "512MiB", "1.5GiB". Raises ParameterError for anything else."""
    number, unit = next(((text[:-3], _UNITS[end]) for end in _UNITS if text.endswith(end)), (text, 1))
    try:
        value = int(number) if unit == 1 else int(float(number) * unit)
    except (ValueError, OverflowError):
        value = -1
    if value < 0:
        raise ParameterError(f"{text!r} is not a size; give bytes, or such as 512MiB")
    return value
