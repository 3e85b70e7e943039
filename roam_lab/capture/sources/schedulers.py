"""Learning-rate schedulers that a step calls: noted while it is traced, really stepped after every planned step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.probe import is_ours
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.sources.values import is_plain

_NO_READING = frozenset({"step", "optimizer", "__class__"})


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

    def watch(self, container: Container) -> None:
        """Give a scheduler of torch's own a class that notes what is read."""
        kind: Any = type(container.owner)
        read: set[str] = set()
        if kind.__module__ == LRScheduler.__module__:

            def looked_up(self_: Any, name: str) -> Any:
                if name not in _NO_READING and not is_ours(sys._getframe(1)):
                    read.add(name)
                return kind.__getattribute__(self_, name)

            same = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
            container.owner.__class__ = type(kind.__name__, (kind,), {**same, "__getattribute__": looked_up})
            self._kinds[id(container.owner)], self._read[id(container.owner)] = kind, read

    def leave(self) -> None:
        """Give them their classes back."""
        for number, kind in self._kinds.items():
            self.found[number].owner.__class__ = kind


def stepping(scheduler: Any, kind: Any = None) -> Callable[..., None]:
    """What really steps it. `kind`: its class, where it has another for now."""
    return lambda *args, **kwargs: (kind or type(scheduler)).step(scheduler, *args, **kwargs)


@contextmanager
def schedulers_noted(reachable: Reachable, call: Callable[..., None]) -> Iterator[Noted]:
    """While a step is traced, `scheduler.step(...)` is noted by `call(function, path, args, kwargs)` and not run."""
    noted = Noted(reachable)
    for container in noted.found.values():
        kind = type(container.owner)

        def note(
            *args: Any, _of: Any = container.owner, _kind: Any = kind, _path: str = container.path, **kwargs: Any
        ) -> None:
            if isinstance(_of, ReduceLROnPlateau):  # it reads the number that it is given
                args = tuple(one.item() if isinstance(one, torch.Tensor) else one for one in args)
                kwargs = {key: one.item() if isinstance(one, torch.Tensor) else one for key, one in kwargs.items()}
            call(stepping(_of, _kind), f"{_path}.step", args, kwargs)

        vars(container.owner)["step"] = note
        noted.watch(container)
    try:
        yield noted
    finally:
        noted.leave()
        for container in noted.found.values():
            vars(container.owner).pop("step", None)
