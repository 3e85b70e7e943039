"""Places of Python values as JSON and back: by the path under which a step reaches them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from roam_lab.capture.sources.places import OptimizerPlace, ValuePlace
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.values import value_from_data, value_to_data
from roam_lab.capture.training_step import TrainingStep


class Places:
    """Of everything that one step reaches, as it is now."""

    def __init__(self, training: TrainingStep, reachable: Reachable) -> None:
        self._optimizers, self._reachable = training.optimizers, reachable
        self._parameters = training.parameters

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Path -> tensor."""
        return dict(reversed(self._reachable.tensors))

    @cached_property
    def _paths(self) -> dict[int, str]:
        return {id(tensor): path for path, tensor in reversed(self._reachable.tensors)}

    def path_of(self, tensor: torch.Tensor) -> str:
        """Where the step reaches a tensor. Raises NotStoredError where nowhere."""
        if id(tensor) not in self._paths:
            raise NotStoredError(f"the step uses a tensor of shape {tuple(tensor.shape)} that no path leads to")
        return self._paths[id(tensor)]

    @cached_property
    def schedulers(self) -> dict[str, Any]:
        """Path -> scheduler of learning rates."""
        return {
            one.path: one.owner
            for one in self._reachable.containers
            if one.kind == "attributes" and isinstance(one.owner, LRScheduler | ReduceLROnPlateau)
        }

    @cached_property
    def _entries(self) -> dict[str, ValuePlace]:
        found: dict[str, ValuePlace] = {}
        for container in self._reachable.containers:
            entries = container.read()
            for key in entries if isinstance(entries, dict) else range(len(entries)):
                path = container.place(key)
                if container.kind != "set":
                    found.setdefault(path, ValuePlace(container.held, key, path))
        return found

    @cached_property
    def _lists(self) -> dict[str, Any]:
        return {one.path: one.held for one in self._reachable.containers if isinstance(one.held, list | deque)}

    def number_to_data(self, place: ValuePlace) -> dict[str, Any]:
        """Of a number that is there now. Raises NotStoredError where it would not be found again."""
        data: dict[str, Any] = {"path": place.path, "type": type(place.read()).__name__}
        if isinstance(place, OptimizerPlace):
            names = {id(one): name for name, one in self._parameters.items()}
            owner = place.owner if isinstance(place.owner, int) else names[id(place.owner)]
            return {**data, "owner": owner, "optimizer": place.number, "key": value_to_data(place.key)}
        self._check(place.path, place)
        return data

    def number_at(self, data: Mapping[str, Any]) -> ValuePlace:
        """The place that `number_to_data` wrote. Raises NotStoredError where there is no such number."""
        path = str(data["path"])
        if "owner" in data:
            owner, number = data["owner"], int(data["optimizer"])
            found: ValuePlace = OptimizerPlace(
                self._optimizers[number], value_from_data(data["key"]), path,
                owner if isinstance(owner, int) else self._parameters[owner], number,
            )  # fmt: skip
        else:
            found = self.entry_at(path)
        try:
            kind = type(found.read()).__name__
        except KeyError:
            kind = "nothing"
        if kind != data["type"] or kind not in ("int", "float"):
            raise NotStoredError(f"{path} is a number of another type, or gone")
        return found

    def entry_to_data(self, place: ValuePlace) -> str:
        """Of an entry that a step binds something to."""
        self._check(place.path, place)
        return place.path

    def entry_at(self, path: str) -> ValuePlace:
        """The entry of this path. Raises NotStoredError where there is none."""
        if path not in self._entries:
            raise NotStoredError(f"{path} is gone")
        return self._entries[path]

    def list_to_data(self, place: ValuePlace) -> str:
        """Of a list that a step adds to; the place is that of a new entry."""
        path = next((path for path, held in self._lists.items() if held is place.container), None)
        if path is None:
            raise NotStoredError(f"the step fills a list that no path leads to ({place.path})")
        return path

    def list_at(self, path: str) -> ValuePlace:
        """A place in the list of this path."""
        if path not in self._lists:
            raise NotStoredError(f"{path} is gone")
        held = self._lists[path]
        return ValuePlace(held, len(held), f"{path}[{len(held)}]")

    def _check(self, path: str, place: ValuePlace) -> None:
        try:
            same = self.entry_at(path).read() is place.read()
        except KeyError:
            same = False
        if not same:
            raise NotStoredError(f"the step changes {path}, where it would not be found again")
