"""Reading values of our JSON files one by one, with their types checked: nothing in a file is trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from roam_lab.errors import FormatError

MOST = 2**62


@dataclass(frozen=True, slots=True)
class Values:
    """One JSON object (anything else counts as an empty one). `where`: its place, for errors; `kind`: what the file is;
    `maker`: the command that writes such files. Each method returns the value of a key, or raises a FormatError that
    names file, key and what to do.
    """

    data: dict[str, Any]
    where: str
    kind: str
    maker: str

    def inner(self, given: Any, place: str) -> Values:
        """The object `given`, which stands at `place` inside this one."""
        return Values(given if isinstance(given, dict) else {}, f"{self.where}: {place}", self.kind, self.maker)

    def objects(self, key: str) -> list[Values]:
        """A list of objects."""
        value = self.data.get(key)
        if not isinstance(value, list):
            raise self.wrong(key)
        return [self.inner(one, f"{key} {number}") for number, one in enumerate(value)]

    def size(self, key: str) -> int:
        """A whole number of 0 or more."""
        value = self.data.get(key)
        if type(value) is not int or not 0 <= value <= MOST:
            raise self.wrong(key)
        return value

    def whole(self, key: str) -> int:
        """A whole number, below 0 or not."""
        value = self.data.get(key)
        if type(value) is not int or abs(value) > MOST:
            raise self.wrong(key)
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.data.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(key)
        return float(value)

    def numbers(self, key: str) -> dict[str, float]:
        """Numbers by name; none where the key is missing."""
        if key in self.data and not isinstance(self.data[key], dict):
            raise self.wrong(key)
        inner = self.inner(self.data.get(key), key)
        return {name: inner.number(name) for name in inner.data}

    def text(self, key: str) -> str:
        """A text."""
        value = self.data.get(key)
        if not isinstance(value, str):
            raise self.wrong(key)
        return value

    def missing(self, key: str) -> bool:
        """Whether nothing, or null, stands under `key`."""
        return self.data.get(key) is None

    def wrong(self, key: str) -> FormatError:
        """The error that says that the value of `key` cannot be right; to be raised by the caller."""
        found = f"{repr(self.data[key])[:40]} there" if key in self.data else "missing"
        return FormatError(
            f"{self.where}: {key} is {found}, which no {self.kind} has; make the file again with {self.maker}"
        )
