"""The one registry of strategies: what feeds API, command line, widgets, docs and tests."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from roam_lab.errors import ParameterError, UnknownStrategyError

Room = Literal["order", "layout"]
F = TypeVar("F", bound=Callable[..., Any])
ENTRY_POINT_GROUP = "roam_lab.strategies"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A strategy's parameter: its type, default and range (both ends included; None: open)."""

    name: str
    type: type
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, strategy: str, value: Any) -> Any:
        """Return `value` as the declared type, or raise ParameterError naming the range."""
        wanted = self.type
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise ParameterError(
                f"{strategy}: {self.name} must be {wanted.__name__}, not {type(value).__name__} ({value!r})"
            )
        if self.choices and value not in self.choices:
            raise ParameterError(f"{strategy}: {self.name} is {value!r}; choose one of {', '.join(self.choices)}")
        number: Any = value
        if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
            low, high = ("…" if end is None else f"{end:g}" for end in (self.low, self.high))
            raise ParameterError(f"{strategy}: {self.name} is {value}, outside its range {low} to {high}")
        return value


@dataclass(frozen=True, slots=True)
class Strategy:
    """One entry of the registry."""

    room: Room
    name: str
    function: Callable[..., Any]
    summary: str
    source: str
    parameters: tuple[Parameter, ...] = ()

    def accept(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults overlaid with `given`, each checked; raises ParameterError for an undeclared name."""
        declared = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in declared:
                has = f"it has {', '.join(declared)}" if declared else "it has none"
                raise ParameterError(f"{self.room} {self.name!r} has no parameter {name!r}; {has}")
        return {
            name: parameter.check(self.name, given[name]) if name in given else parameter.default
            for name, parameter in declared.items()
        }

    def describe(self) -> dict[str, Any]:
        """Plain data for `roam strategies --json` and the docs."""
        return {
            "room": self.room,
            "name": self.name,
            "summary": self.summary,
            "source": self.source,
            "parameters": [
                {
                    "name": parameter.name,
                    "type": parameter.type.__name__,
                    "default": parameter.default,
                    "low": parameter.low,
                    "high": parameter.high,
                    "choices": list(parameter.choices),
                    "help": parameter.help,
                }
                for parameter in self.parameters
            ],
        }


@dataclass(slots=True)
class _Registry:
    entries: dict[tuple[Room, str], Strategy] = field(default_factory=dict)


_REGISTRY = _Registry()


def strategy(room: Room, name: str, *, source: str, parameters: tuple[Parameter, ...] = ()) -> Callable[[F], F]:
    """Register a pure function as strategy `name`; the first line of its docstring is its summary."""

    def register(function: F) -> F:
        summary = (function.__doc__ or "").strip().splitlines()
        if not summary:
            raise ValueError(f"{room} strategy {name!r} has no docstring")
        if (room, name) in _REGISTRY.entries:
            raise ValueError(f"{room} strategy {name!r} is registered twice")
        _REGISTRY.entries[room, name] = Strategy(room, name, function, summary[0], source, parameters)
        return function

    return register


@cache
def _load() -> None:
    """Import our own strategies, then those that other packages offer through entry points."""
    for room in ("order", "layout"):
        package = importlib.import_module(f"roam_lab.{room}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        entry.load()


def strategies(room: Room | None = None) -> tuple[Strategy, ...]:
    """All registered strategies (of one room), sorted by room and name."""
    _load()
    found = (entry for entry in _REGISTRY.entries.values() if room in (None, entry.room))
    return tuple(sorted(found, key=lambda entry: (entry.room, entry.name)))


def find(room: Room, name: str) -> Strategy:
    """The strategy of that name, or UnknownStrategyError with the nearest name."""
    _load()
    entry = _REGISTRY.entries.get((room, name))
    if entry is None:
        names = [known.name for known in strategies(room)]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(names)}"
        raise UnknownStrategyError(f"there is no {room} strategy {name!r}; {hint}")
    return entry
