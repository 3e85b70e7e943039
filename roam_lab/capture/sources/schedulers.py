"""Learning-rate schedulers that a step calls: the call is noted during the trace, and made after every planned step."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.probe import is_ours
from roam_lab.capture.sources.python_state import Change
from roam_lab.capture.sources.rate_functions import changed_reading
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.sources.values import is_plain
from roam_lab.errors import CaptureError

_NO_READING = frozenset({"step", "optimizer", "__class__"})
_CHANGED_BY_STEP = frozenset(
    {
        *("last_epoch", "_step_count", "_last_lr", "best", "num_bad_epochs", "cooldown_counter", "T_cur", "T_i"),
        *("get_last_lr", "get_lr", "state_dict", "__dict__"),
    }
)


class Noted:
    """The schedulers that a traced step reaches. `dicts`: ids of their `__dict__`s."""

    def __init__(self, reachable: Reachable) -> None:
        self.found = {
            id(one.owner): one
            for one in reachable.containers
            if one.kind == "attributes" and isinstance(one.owner, LRScheduler | ReduceLROnPlateau)
        }
        self.dicts = {id(vars(one.owner)) for one in self.found.values()}
        self._kinds: dict[int, type] = {}
        self._read: dict[int, set[str]] = {}
        self._stepped: Counter[int] = Counter()
        self._too_late: str | None = None

    def unread(self) -> Iterator[str]:
        """Paths of the counters, rates and settings that the step has not read since `watch`.

        Accelerate's wrapper asks each scheduler for its `total_steps`, and reads the counter of those that have them.
        """
        for number, read in self._read.items():
            container = self.found[number]
            if any(name.startswith("__") for name in read):  # such as __dict__, in which everything is
                continue
            for key, value in vars(container.owner).items():
                if key in read:
                    continue
                if is_plain(value) or (isinstance(value, list | tuple) and all(map(is_plain, value))):
                    yield container.place(key)

    def step(self, scheduler: Any) -> None:
        """It is stepped now, in the step as it stands; a planned step does so when it is over."""
        self._stepped[id(scheduler)] += 1

    def check(self, changes: Callable[[], Iterable[Change]]) -> None:
        """Raises CaptureError where the step has read what a scheduler's own step had changed before, or where a
        function of a scheduler that it has stepped reads what the step changes (`changes()`)."""
        if self._too_late is not None:
            raise CaptureError(
                f"the step reads {self._too_late} after that scheduler's step(), which a planned step calls when all "
                "else is done; read it when the step is over, or before step()"
            )
        stepped = [one.owner for number, one in self.found.items() if number in self._stepped]
        read = changed_reading(stepped, changes()) if stepped else None
        if read is not None:
            raise CaptureError(
                f"the step changes {read.path}, which a function of a scheduler that it steps reads; a planned step "
                "calls that when all else is done; step the scheduler outside the step"
            )

    def watch(self, container: Container) -> None:
        """Give a scheduler of torch's own a subclass that notes whether its attributes are read."""
        kind: Any = type(container.owner)
        number, read = id(container.owner), set[str]()
        counts = getattr(kind, "step", None) is LRScheduler.step  # each call adds one to _step_count
        if kind.__module__ == LRScheduler.__module__:

            def looked_up(self_: Any, name: str) -> Any:
                if name not in _NO_READING and not is_ours(sys._getframe(1)):
                    read.add(name)
                    if counts and name == "_step_count":  # Accelerate asks between two of them
                        return kind.__getattribute__(self_, name) + self._stepped[number]
                    if number in self._stepped and name in _CHANGED_BY_STEP:
                        self._too_late = self._too_late or f"{container.path}.{name}"
                return kind.__getattribute__(self_, name)

            same = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
            container.owner.__class__ = type(kind.__name__, (kind,), {**same, "__getattribute__": looked_up})
            self._kinds[number], self._read[number] = kind, read

    def leave(self) -> None:
        """Give the schedulers their own classes back."""
        for number, kind in self._kinds.items():
            self.found[number].owner.__class__ = kind


def stepping(scheduler: Any, kind: Any = None) -> Callable[..., None]:
    """The function that really steps `scheduler`. `kind`: its own class (None: its present one)."""
    return lambda *args, **kwargs: (kind or type(scheduler)).step(scheduler, *args, **kwargs)


@contextmanager
def schedulers_noted(reachable: Reachable, call: Callable[..., None]) -> Iterator[Noted]:
    """A context for tracing a step, in which `scheduler.step(...)` is not run: `call(function, path, args, kwargs)` is
    called instead."""
    noted = Noted(reachable)
    for container in noted.found.values():
        kind = type(container.owner)

        def note(
            *args: Any, _of: Any = container.owner, _kind: Any = kind, _path: str = container.path, **kwargs: Any
        ) -> None:
            if isinstance(_of, ReduceLROnPlateau):  # it reads the number that it is given
                args = tuple(one.item() if isinstance(one, torch.Tensor) else one for one in args)
                kwargs = {key: one.item() if isinstance(one, torch.Tensor) else one for key, one in kwargs.items()}
            noted.step(_of)
            call(stepping(_of, _kind), f"{_path}.step", args, kwargs)

        vars(container.owner)["step"] = note
        noted.watch(container)
    try:
        yield noted
    finally:
        noted.leave()
        for container in noted.found.values():
            vars(container.owner).pop("step", None)
