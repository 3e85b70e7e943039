"""The fields of `roam-plan/2` and `/1`, read one by one: nothing in a file is trusted."""

from __future__ import annotations

from typing import Any

from roam_lab.errors import FormatError
from roam_lab.order.bound import Certificate
from roam_lab.plan.plan import FORMAT, KINDS, STATUSES, Rewrite, Saving
from roam_lab.rewrite.bound import RewriteBound

LARGEST = 2**62
MOST_SECONDS = 1e9
MOST_EXTRA_TIME = 1e3
"""As a fraction of the step's time. Planning stops at a few times the step; a file that says more is not ours."""
_WRITER = "check the file's writer"


class PlanFields:
    """Typed access to the keys of one plan; every error names the file, the key and what stands there."""

    def __init__(self, data: dict[str, Any], where: str) -> None:
        self.data, self.where = data, where

    def wrong(self, key: str, wanted: str) -> FormatError:
        if key not in self.data:
            return FormatError(f"{self.where}: {key} is missing; the file is not a whole {FORMAT}")
        return FormatError(f"{self.where}: {key} is {short(self.data[key])}, not {wanted}; check the file's writer")

    def integer(self, key: str, negative: bool = False) -> int:
        value = self.data.get(key)
        if type(value) is not int or abs(value) > LARGEST or (value < 0 and not negative):
            raise self.wrong(key, "an integer" if negative else "an integer from 0 to 2^62")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.data.get(key)
        if not isinstance(value, list) or any(type(entry) is not int or entry < 0 for entry in value):
            raise self.wrong(key, "a list of integers from 0")
        return tuple(value)

    def number(self, key: str, most: float) -> float:
        value = self.data.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            raise self.wrong(key, f"a number from 0 to {most:,.0f}")
        return float(value)

    def extra_time(self) -> float:
        """A fraction of the step's time, below 0 where the step gets faster; 0 where nothing is said."""
        value = self.data.get("extra_time", 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1 < value <= MOST_EXTRA_TIME:
            raise self.wrong("extra_time", f"a number above -1, up to {MOST_EXTRA_TIME:,.0f}")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self.data.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self.data.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def table(self, key: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        value = self.data.get(key, default)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return value

    def environment(self) -> dict[str, str]:
        found = self.table("environment", {})
        if any(isinstance(value, (dict, list)) for value in found.values()):
            raise self.wrong("environment", "an object of texts")
        return {key: str(value) for key, value in found.items()}

    def rewrites(self) -> tuple[Rewrite, ...]:
        value = self.data.get("rewrites", [])
        if not isinstance(value, list):
            raise self.wrong("rewrites", "a list")
        for one in value:
            op = one.get("op") if isinstance(one, dict) else None
            if type(op) is not int or not 0 <= op <= LARGEST or one.get("kind") not in KINDS:
                raise FormatError(f"{self.where}: rewrites holds {short(one)}, no known kind with its op; {_WRITER}")
        return tuple(Rewrite(one["kind"], one["op"]) for one in value)

    def savings(self) -> tuple[Saving, ...]:
        value = self.data.get("savings", [])
        if not isinstance(value, list):
            raise self.wrong("savings", "a list")
        parts = [
            PlanFields(one if isinstance(one, dict) else {}, f"{self.where}: savings {number}")
            for number, one in enumerate(value)
        ]
        return tuple(Saving(part.text("kind"), part.integer("bytes", True), part.extra_time()) for part in parts)

    def rewrite_bound(self) -> RewriteBound | None:
        if self.data.get("rewrite_bound") is None:
            return None
        inner = PlanFields(self.table("rewrite_bound"), f"{self.where}: rewrite_bound")
        return RewriteBound(inner.integer("peak_bytes"), inner.number("extra_time", MOST_EXTRA_TIME))

    def status(self) -> Any:
        """The status; of an older file without one, by its key `optimal`."""
        value = self.data.get("status", "optimal" if self.data.get("optimal") is True else "feasible")
        if value not in STATUSES:
            raise self.wrong("status", f"one of {', '.join(STATUSES)}")
        return value

    def offsets(self) -> dict[int, int]:
        offsets: dict[int, int] = {}
        for key, value in self.table("offsets").items():
            if not (key.isascii() and key.isdecimal() and len(key) <= 18 and str(int(key)) == key):
                raise FormatError(f"{self.where}: offsets has the key {short(key)}, not a storage; {_WRITER}")
            if type(value) is not int or not 0 <= value <= LARGEST:
                raise FormatError(f"{self.where}: offsets of {key} is {short(value)}, not an integer; {_WRITER}")
            offsets[int(key)] = value
        return offsets

    def certificate(self) -> Certificate | None:
        if self.data.get("certificate") is None:
            return None
        inner = PlanFields(self.table("certificate"), f"{self.where}: certificate")
        kind = inner.data.get("kind", "forced")
        if kind not in ("forced", "minimum cut", "search"):
            raise inner.wrong("kind", "forced, minimum cut or search")
        later, earlier = (inner.integers(key) if key in inner.data else () for key in ("later", "earlier"))
        op, held = inner.integer("op"), inner.integers("storages")
        return Certificate(op, held, inner.integer("bytes"), kind, later, earlier)


def short(value: Any) -> str:
    """`value` as text, cut to fit into one line of an error."""
    text = repr(value) if not isinstance(value, (list, dict)) else f"a {type(value).__name__} of {len(value)}"
    return text if len(text) <= 60 else f"{text[:57]}..."
