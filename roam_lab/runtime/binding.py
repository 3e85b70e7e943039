"""Binding a program to the user's own tensors: finding each input's present tensor, and checking that it still fits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from operator import attrgetter, is_
from typing import Any

import torch

from roam_lab.capture.inputs import Input, read_setting
from roam_lab.capture.torch_internals import storage_at
from roam_lab.errors import MismatchError
from roam_lab.runtime.arena import Form, view_at
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.program import Program

_shape, _dtype = attrgetter("shape"), attrgetter("dtype")


class Residents:
    """The present tensors of all resident inputs (all but batch and numbers); a replaced tensor is found, too.

    Every step needs them, so the dicts in which they were found are kept, and only read again.
    """

    def __init__(
        self, tree: ModelTree, optimizers: tuple[torch.optim.Optimizer, ...], inputs: tuple[Input, ...]
    ) -> None:
        self._tree, self._optimizers, self.inputs = tree, optimizers, inputs
        self._held = [one for one in inputs if one.kind in ("parameter", "buffer", "state")]
        self._settings = [one for one in inputs if one.kind == "setting"]
        self.forget()

    def find(self) -> dict[Input, torch.Tensor]:
        """The present tensor of every resident input (all but batch and numbers), in a tree that was refreshed.

        Raises KeyError when one is gone.
        """
        same = self._walk == self._tree.walks and all(map(is_, map(dict.get, self._dicts, self._keys), self._seen))
        if not same:
            self._look()
        found = dict(self._found)
        for item in self._settings:
            value = read_setting(self._optimizers, (*item.path[:3], None))
            if isinstance(value, torch.Tensor):
                found[item] = value
        return found

    def forget(self) -> None:
        """Drop all references until `find` is called again."""
        self._walk = -1
        self._found: dict[Input, torch.Tensor] = {}
        self._dicts: list[dict[Any, Any]] = []
        self._keys: list[Any] = []
        self._seen: list[Any] = []

    def _look(self) -> None:
        self.forget()
        links: dict[tuple[int, Any], tuple[dict[Any, Any], Any]] = {}
        plain = True
        found: dict[Input, torch.Tensor] = {}
        for item in self._held:
            if item.kind == "state":
                number, name, *keys = item.path
                value: Any = vars(self._optimizers[number])
                steps = ["state", self._tree.tensor(name), *keys]
                if "state" not in value:  # a property: an optimizer that wraps another
                    value, plain = {"state": self._optimizers[number].state}, False
            else:
                value, key = self._tree.owner(item.path[0])
                steps = [key]
            for key in steps:
                plain = plain and isinstance(value, dict)
                if isinstance(value, dict):
                    links[id(value), id(key) if isinstance(key, torch.Tensor) else key] = (value, key)
                value = _entry(value, key, item)
            if not isinstance(value, torch.Tensor):
                raise KeyError(str(item))
            found[item] = value
        self._found = found
        self._dicts, self._keys = [held for held, _ in links.values()], [key for _, key in links.values()]
        self._seen = list(map(dict.get, self._dicts, self._keys))
        self._walk = self._tree.walks if plain else -1


def _entry(held: Any, key: Any, item: Input) -> Any:
    """An entry of a dict or list. Raises KeyError where it is missing, also for a `defaultdict`, which is not
    filled."""
    if isinstance(held, dict) and key not in held:
        raise KeyError(str(item))
    try:
        return held[key]
    except (IndexError, KeyError, TypeError):
        raise KeyError(str(item)) from None


def addresses(tensors: Iterable[torch.Tensor]) -> list[int]:
    """The addresses of tensors; as long as they stay the same, bound views are right."""
    return list(map(torch.Tensor.data_ptr, tensors))


def sharing(tensors: Iterable[torch.Tensor]) -> list[int]:
    """For each tensor the index of the first one that has the same memory."""
    first: dict[int, int] = {}
    found = []
    for place, tensor in enumerate(tensors):
        address = tensor.untyped_storage().data_ptr()
        found.append(first.setdefault(address, place) if address else place)
    return found


def outside_of(program: Program) -> dict[torch.Tensor, Form]:
    """The outside tensors (capture/outside.py) that the program reads or writes, with their form when captured."""
    return {
        place.root: place.root_like or Form.of(place.root)
        for place in program.places.values()
        if isinstance(place.root, torch.Tensor)
    }


class Forms:
    """The forms of all resident and outside tensors when the step was captured."""

    def __init__(self, program: Program) -> None:
        self._forms = {
            place.root: place.root_like
            for place in program.places.values()
            if isinstance(place.root, Input) and place.root_like is not None
        }
        self._outside = outside_of(program)
        self._wanted = [
            [getattr(form, name) for form in (*self._forms.values(), *self._outside.values())]
            for name in ("shape", "strides", "dtype")
        ]
        self._order: list[Input] = []
        self._places: list[int] = []

    def check(self, tensors: Mapping[Input, torch.Tensor]) -> None:
        """Raise MismatchError where a resident or outside tensor has another form than when captured, KeyError where
        one is missing."""
        order = list(tensors)
        if order != self._order:  # by identity where nothing has changed, which is fast
            places = {item: place for place, item in enumerate(order)}
            self._places, self._order = [places[item] for item in self._forms], order
        present = list(tensors.values())
        now = [*map(present.__getitem__, self._places), *self._outside]
        shapes, strides, dtypes = self._wanted
        if (
            list(map(torch.Tensor.stride, now)) == strides
            and list(map(_shape, now)) == shapes
            and list(map(_dtype, now)) == dtypes
        ):
            return
        outside = [("a tensor that the step reaches", one, like) for one, like in self._outside.items()]
        for item, real, like in [*((str(key), tensors[key], like) for key, like in self._forms.items()), *outside]:
            if (real.shape, real.stride(), real.dtype) != (like.shape, like.strides, like.dtype):
                raise MismatchError(
                    f"{item} is {tuple(real.shape)} {real.dtype} with strides {tuple(real.stride())}; the plan was "
                    f"made for {like.shape} {like.dtype} with strides {like.strides}; plan again for this model"
                )


def bind(
    program: Program,
    offsets: Mapping[int, int],
    tensors: Mapping[Input, torch.Tensor],
    arena: torch.Tensor,
    host_offsets: Mapping[int, int],
    host: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Name -> real tensor for every place of the program. `offsets`: storage -> byte offset in the arena;
    `host_offsets`: in the host memory `host`."""
    places: dict[str, torch.Tensor] = {}
    alone: dict[int, torch.UntypedStorage] = {}
    for name, place in program.places.items():
        if place.storage is not None:
            on_host = place.storage in host_offsets
            offset = (host_offsets if on_host else offsets).get(place.storage, 0)  # no offset: no bytes
            block = host if on_host else arena
            storage, offset = block.untyped_storage(), int(block.storage_offset()) + offset
            if place.alone and place.like.offset == 0:
                size = math.prod(place.like.shape) * place.like.dtype.itemsize
                if place.storage not in alone:
                    alone[place.storage] = storage_at(storage.data_ptr() + offset, block.device, size)
                storage, offset = alone[place.storage], 0
            places[name] = view_at(storage, offset, place.like)
        elif place.root is not None:
            real = tensors[place.root] if isinstance(place.root, Input) else place.root
            like = place.root_like or Form.of(real)
            shift = (int(real.storage_offset()) - like.offset) * real.element_size()
            places[name] = view_at(real.untyped_storage(), shift, place.like)
    return places
