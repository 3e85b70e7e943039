"""The points of a sweep: what is captured, with which goals it is planned, and by which strategies."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from roam_lab.errors import InputError, ParameterError
from roam_lab.ir.roofline import gpu_named
from roam_lab.plan.limits import check_goals, check_limits
from roam_lab.registry import Room, find
from roam_lab.rewrite.kinds import checked_kinds
from roam_lab.sizes import bytes_of

DTYPES = ("float64", "float32", "bfloat16", "float16")
SHORT = {"fp64": "float64", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}
CAPTURED = ("factory", "batch", "sequence", "dtype", "optimizer", "times")
"""The fields that decide what is captured: points that share them share the capture."""
ROOMS: tuple[Room, ...] = ("order", "layout", "rewrite")


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One point of a sweep. Raises InputError for a value for which no plan can be made.

    `factory`: FILE.py:FACTORY. `batch`, `sequence`: sizes of its batch; `dtype`: what the floating-point numbers of
    model and batch become; `optimizer`: a class of torch.optim over the parameters of the factory's own optimizer,
    "SGD" or "SGD(momentum=0.9)"; None: as the factory makes it. `times`: ops' times are computed from the rates of this
    GPU. The rest are settings of `make_plan`; a budget may be a text such as "24GiB".
    """

    factory: str
    batch: int | None = None
    sequence: int | None = None
    dtype: str | None = None
    optimizer: str | None = None
    times: str | None = None
    budget: int | None = None
    extra_time: float | None = None
    order: str = "auto"
    layout: str = "auto"
    rewrite: str = "auto"
    rewrites: tuple[str, ...] | None = None
    node_limit: int | None = None
    time_limit: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.factory, str) or not all(self.factory.rpartition(":")):
            raise InputError(f"factory is {self.factory!r}; give FILE.py:FACTORY, such as train.py:make")
        for name in ("batch", "sequence"):
            size = getattr(self, name)
            if size is not None and (type(size) is not int or size < 1):
                raise InputError(f"{name} is {size!r}; give a whole number of at least 1, or None: as made")
        if self.dtype is not None:
            self._set("dtype", _dtype(self.dtype))
        if self.optimizer is not None and not isinstance(self.optimizer, str):
            raise InputError(f"optimizer is {self.optimizer!r}; give a name of torch.optim, such as 'AdamW'")
        if self.times is not None:
            gpu_named(self.times)
        if isinstance(self.budget, str):
            self._set("budget", bytes_of(self.budget))
        if self.rewrites is not None:
            self._set("rewrites", tuple(sorted(checked_kinds(self.rewrites))))
        check_goals(self.budget, self.extra_time)
        if self.extra_time is not None:
            self._set("extra_time", float(self.extra_time))  # 0 and 0.0 are one point
        check_limits(self.node_limit, self.time_limit, self.seed, 1)
        for room in ROOMS:
            find(room, getattr(self, room))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def captured(self) -> tuple[Any, ...]:
        """The values of CAPTURED."""
        return tuple(getattr(self, name) for name in CAPTURED)

    def settings(self) -> dict[str, Any]:
        """The settings of `make_plan` among the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in CAPTURED}

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data: every field by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def place(self) -> tuple[tuple[bool, Any], ...]:
        """The key by which tables are sorted: field by field, missing values first."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple((value is not None, value if value is not None else 0) for value in values)


NAMES = tuple(field.name for field in fields(SweepPoint))


def point_of(given: SweepPoint | Mapping[str, Any]) -> SweepPoint:
    """A point, or a mapping of its fields, as a point. Raises InputError."""
    if isinstance(given, SweepPoint):
        return given
    if not isinstance(given, Mapping):
        raise InputError(f"a point is a {type(given).__name__}; give a dict such as {{'factory': 'train.py:make'}}")
    for name in given:
        if name not in NAMES:
            raise InputError(f"a point has no {name!r}; {_hint(str(name), NAMES)}")
    if "factory" not in given:
        raise InputError("a point has no 'factory'; give FILE.py:FACTORY, such as train.py:make")
    return SweepPoint(**given)


def grid(
    *factories: str,
    budget: Iterable[int | str] | int | str | None = None,
    extra_time: Iterable[float] | float | None = None,
    **axes: Any,
) -> list[SweepPoint]:
    """Every combination of the values given: `grid("train.py:make", batch=(1, 2, 4), extra_time=(0, 0.1))`.

    `factories`: FILE.py:FACTORY. An axis (of `axes`) is a field of SweepPoint, with one value or several. Each `budget`
    (of the whole step, in bytes or as "24GiB") and each `extra_time` (a fraction of the step's time) is a goal of its
    own; with neither, plans add no time. Raises InputError for an unknown axis or an invalid value.
    """
    for name in axes:
        if name not in NAMES:
            raise InputError(f"there is no axis {name!r}; {_hint(name, NAMES)}")
    kinds = axes.pop("rewrites", None)  # one setting may have several kinds
    goals: list[dict[str, Any]] = [{"extra_time": value} for value in _several(extra_time) if value is not None]
    goals += [{"budget": value} for value in _several(budget) if value is not None]
    names = tuple(axes)
    combined = itertools.product(factories, *(_several(axes[name]) for name in names), goals or [{}])
    return [
        SweepPoint(factory, **dict(zip(names, values, strict=True)), **goal, rewrites=kinds)
        for factory, *values, goal in combined
    ]


def _several(value: Any) -> tuple[Any, ...]:
    single = value is None or isinstance(value, str) or not isinstance(value, Iterable)
    return (value,) if single else tuple(value)


def _dtype(given: Any) -> str:
    """The name of a dtype, as torch has it: "bf16" and torch.bfloat16 are "bfloat16", too."""
    name = str(given).removeprefix("torch.")
    name = SHORT.get(name, name)
    if name not in DTYPES:
        raise ParameterError(f"there is no dtype {str(given)!r} to sweep over; {_hint(name, DTYPES)}")
    return name


def _hint(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"
