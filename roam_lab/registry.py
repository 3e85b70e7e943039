"""The registry of strategies, from which API, command line, widgets, docs and tests know them."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import pkgutil
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar, get_args

from roam_lab.errors import JudgementError, ParameterError, RoamError, UnknownStrategyError

Room = Literal["order", "layout", "rewrite"]
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
            low, high = ("…" if end is None else _number(end) for end in (self.low, self.high))
            raise ParameterError(f"{strategy}: {self.name} is {value}, outside its range {low} to {high}")
        return value

    def read(self, strategy: str, text: str) -> Any:
        """The checked value of `text` as typed on a command line: "0.5", "300", "yes", "cbc"."""
        value: Any = text
        if self.type is bool:
            value = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(text.lower())
        elif self.type is not str:
            try:
                value = self.type(text)
            except ValueError:
                value = None
        if value is None or value != value:  # a nan is in no range
            wanted = {bool: "yes or no", int: "a whole number", float: "a number"}.get(self.type, "given")
            raise ParameterError(f"{strategy}: {self.name} must be {wanted}, not {text!r}")
        return self.check(strategy, value)

    def range(self) -> str:
        """The allowed values in a few words: "8 to 1024", "0 or more", "highs | cbc"; "" where all are allowed."""
        if self.choices:
            return " | ".join(self.choices)
        if self.low is not None and self.high is not None:
            return f"{_number(self.low)} to {_number(self.high)}"
        if self.low is not None:
            return f"{_number(self.low)} or more"
        return "" if self.high is None else f"at most {_number(self.high)}"

    def described(self) -> str:
        """Type, range and default: "int, 8 to 1024; default 64"."""
        return f"{', '.join(filter(None, (self.type.__name__, self.range())))}; default {self.default}"


def _number(value: float) -> str:
    """A number as text, with every digit if it is whole: 2147483647, 0.5."""
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


@dataclass(frozen=True, slots=True)
class Strategy:
    """One registered strategy. `summary`: the first line of its docstring; `source`: the paper or program that it is
    from."""

    room: Room
    name: str
    function: Callable[..., Any]
    summary: str
    source: str
    parameters: tuple[Parameter, ...] = ()

    def accept(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults overlaid with `given`, each checked; raises ParameterError for an undeclared name."""
        for name in given:
            self.parameter(name)
        return {
            parameter.name: parameter.check(self.name, given[parameter.name])
            if parameter.name in given
            else parameter.default
            for parameter in self.parameters
        }

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name; raises ParameterError with the nearest name where there is none."""
        declared = {parameter.name: parameter for parameter in self.parameters}
        if name in declared:
            return declared[name]
        near = difflib.get_close_matches(name, declared, n=1)
        hint = f"it has {', '.join(declared)}" if declared else "it has none"
        if near:
            hint = f"did you mean {near[0]!r}?"
        raise ParameterError(f"{self.room} {self.name!r} has no parameter {name!r}; {hint}")

    def call(self, returns: type | tuple[type, ...], /, *given: Any, **values: Any) -> Any:
        """What the function returns, in the context of `judged`: something of that type, or of one of those."""
        with self.judged():
            found = self.function(*given, **values)
            if not isinstance(found, returns):
                wanted = " or ".join(one.__name__ for one in (returns if isinstance(returns, tuple) else (returns,)))
                raise JudgementError(f"it returned {type(found).__name__}, not {wanted}")
        return found

    @contextmanager
    def judged(self) -> Iterator[None]:
        """A context for the strategy and for judging its result: an error inside is raised again as a JudgementError
        with the strategy's name. Other RoamErrors pass, and errors of memory, files and missing packages."""
        what = f"{self.room} {self.name!r}"
        try:
            yield
        except JudgementError as error:
            raise JudgementError(f"{what} broke a rule: {error}; choose another and tell its author") from None
        except (RoamError, MemoryError, OSError, ImportError):
            raise
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
            raise JudgementError(
                f"{what} failed: {type(error).__name__}: {error} ({place}); choose another and tell its author"
            ) from error

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


class PluginWarning(UserWarning):
    """A package that offers strategies cannot be loaded; its strategies are missing, all others are there."""


@contextmanager
def one_line_warnings(tell: Callable[[str], None]) -> Iterator[None]:
    """A context in which `tell` is called with the sentence of a PluginWarning; other warnings are shown as usual."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def noted(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, PluginWarning):
                tell(f"warning: {message}")
            else:
                show(message, category, *where, **more)

        warnings.showwarning = noted
        yield


@dataclass(slots=True)
class _Registry:
    entries: dict[tuple[Room, str], Strategy] = field(default_factory=dict)


_REGISTRY = _Registry()


def strategy(room: Room, name: str, *, source: str, parameters: tuple[Parameter, ...] = ()) -> Callable[[F], F]:
    """A decorator that registers a pure function as strategy `name`; the first line of its docstring is its summary.

    Raises ValueError for an unknown room, a function without docstring or whose arguments are not what is declared, and
    for a name that is registered already.
    """
    if room not in get_args(Room):
        raise ValueError(f"{name!r} is for the room {room!r}; there are {', '.join(get_args(Room))}")

    def register(function: F) -> F:
        summary = (function.__doc__ or "").strip().splitlines()
        if not summary:
            raise ValueError(f"{room} strategy {name!r} has no docstring")
        takes = [*inspect.signature(function).parameters.values()][2 if room == "rewrite" else 1 :]
        names, declares = sorted(one.name for one in takes), sorted(one.name for one in parameters)
        if names != declares and all(one.kind != one.VAR_KEYWORD for one in takes):
            raise ValueError(f"{room} strategy {name!r} takes the parameters {names}, and declares {declares}")
        if (room, name) in _REGISTRY.entries:
            raise ValueError(f"{room} strategy {name!r} is registered twice")
        _REGISTRY.entries[room, name] = Strategy(room, name, function, summary[0], source, parameters)
        return function

    return register


@cache
def _load() -> None:
    """Import our own strategies, then those that other packages offer through entry points."""
    for name in ("order", "layout", "rewrite"):
        package = importlib.import_module(f"roam_lab.{name}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        before = dict(_REGISTRY.entries)
        try:
            entry.load()
        except (Exception, SystemExit) as error:
            _REGISTRY.entries = before
            owner = "" if entry.dist is None else f" of package {entry.dist.name}"
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            message = f"strategies {entry.name!r}{owner} ({entry.value}) cannot be loaded, so they are left out"
            warnings.warn(f"{message} ({reason}); repair or uninstall the package", PluginWarning, stacklevel=2)


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
