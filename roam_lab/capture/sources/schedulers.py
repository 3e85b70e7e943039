"""Learning-rate schedulers that a step calls: noted while it is traced, really stepped after every planned step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from roam_lab.capture.sources.reachable import Reachable


def stepping(scheduler: Any) -> Callable[..., None]:
    """What really steps it."""
    return lambda *args, **kwargs: type(scheduler).step(scheduler, *args, **kwargs)


@contextmanager
def schedulers_noted(reachable: Reachable, call: Callable[..., None]) -> Iterator[set[int]]:
    """While a step is traced, `scheduler.step(...)` is noted by `call(function, path, args, kwargs)` and not run.

    Yields the ids of the schedulers' `__dict__`s.
    """
    found = {
        id(one.owner): (one.owner, one.path)
        for one in reachable.containers
        if one.kind == "attributes" and isinstance(one.owner, LRScheduler | ReduceLROnPlateau)
    }
    for scheduler, path in found.values():

        def note(*args: Any, _of: Any = scheduler, _path: str = path, **kwargs: Any) -> None:
            if isinstance(_of, ReduceLROnPlateau):  # it reads the number that it is given
                args = tuple(one.item() if isinstance(one, torch.Tensor) else one for one in args)
                kwargs = {key: one.item() if isinstance(one, torch.Tensor) else one for key, one in kwargs.items()}
            call(stepping(_of), f"{_path}.step", args, kwargs)

        vars(scheduler)["step"] = note
    try:
        yield {id(vars(scheduler)) for scheduler, _ in found.values()}
    finally:
        for scheduler, _ in found.values():
            vars(scheduler).pop("step", None)
