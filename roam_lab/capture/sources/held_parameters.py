"""Parameters that a step's code holds itself, such as a list that was made before training for `clip_grad_norm_`: while
the step runs on fakes, these are the fakes, too, which have the gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from roam_lab.capture.sources.attributes import attributes_shared
from roam_lab.capture.sources.containers import Container, Entries
from roam_lab.capture.sources.reachable import Reachable

_READ = ("dict", "list", "deque", "set", "attributes", "cell", "names")


@contextmanager
def held_parameters_replaced(
    reachable: Reachable, model: torch.nn.Module, names: Mapping[int, str], fakes: Mapping[str, torch.Tensor],
    made: Callable[[torch.Tensor], torch.Tensor | None],
) -> Iterator[None]:  # fmt: skip
    """A context in which lists, tuples, dicts (as key, too), sets, attributes and variables within reach hold a
    parameter's fake in its place, and every fake has its tensor's attributes. `names`: id of a parameter -> its name;
    `fakes`: by that name; `made`: the fake of a tensor, if there is one.

    What the model's modules hold as their own is left alone: `parameters_replaced` does that. Entries that the step
    itself has changed stay as it leaves them.
    """
    twins = {number: fakes[name] for number, name in names.items()}
    own = {id(one._parameters) for one in model.modules()}
    put: list[tuple[Container, Any, Any, Any]] = []
    try:
        for container in reachable.containers:
            if container.kind not in _READ or id(container.held) in own:
                continue
            _exchange_keys(container, twins)
            for key, value in _values(container.read()):
                instead = _replaced(value, twins)
                if instead is not value:
                    put.append((container, key, value, instead))
                    container.put(key, instead)
        with attributes_shared(reachable.tensors, made):
            yield
    finally:
        for container, key, value, instead in reversed(put):
            entries = container.read()
            there = isinstance(entries, dict) or key < len(entries)
            if there and container.entry(key) is instead:
                container.put(key, value)
        parameters = {id(twins[id(one)]): one for _, one in reachable.tensors if id(one) in twins}
        for container in reachable.containers:
            _exchange_keys(container, parameters)


def _exchange_keys(container: Container, others: Mapping[int, torch.Tensor]) -> None:
    """Give a dict other keys, in their places, and a set other members. `others`: id of one -> what takes its place."""
    if container.kind not in ("dict", "set"):
        return
    entries = container.read()
    keys = {key: others[id(key)] for key in entries if isinstance(key, torch.Tensor) and id(key) in others}
    if keys and isinstance(entries, dict):
        container.write({keys.get(key, key): value for key, value in entries.items()})
    elif keys:
        container.write({keys.get(key, key) for key in entries})


def _values(entries: Entries) -> list[tuple[Any, Any]]:
    """(key or index, value); a set has neither."""
    if isinstance(entries, set):
        return []
    return list(entries.items() if isinstance(entries, dict) else enumerate(entries))


def _replaced(value: Any, twins: Mapping[int, torch.Tensor]) -> Any:
    """The value itself where no parameter is in it."""
    if isinstance(value, torch.Tensor):
        return twins.get(id(value), value)
    if type(value) not in (tuple, frozenset):
        return value
    parts = [_replaced(part, twins) for part in value]
    return type(value)(parts) if any(new is not old for new, old in zip(parts, value, strict=True)) else value
