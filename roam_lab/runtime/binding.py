"""From a program to the user's own tensors: where each input lives now, and whether it still does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from roam_lab.capture.inputs import Input, read_setting
from roam_lab.errors import MismatchError
from roam_lab.runtime.arena import Form, view_at
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.program import Program


@dataclass(frozen=True)
class Residents:
    """The tensors that a step updates in place, by input; found anew when the user replaces one."""

    tree: ModelTree
    optimizers: tuple[torch.optim.Optimizer, ...]
    inputs: tuple[Input, ...]

    def find(self) -> dict[Input, torch.Tensor]:
        """The present tensor of every resident input (all but batch and numbers), in a tree that was refreshed.

        Raises KeyError when one is gone.
        """
        found: dict[Input, torch.Tensor] = {}
        for item in self.inputs:
            if item.kind in ("parameter", "buffer"):
                found[item] = self.tree.tensor(item.path[0])
            elif item.kind == "state":
                found[item] = self._state(item)
            elif item.kind == "setting":
                value = read_setting(self.optimizers, (*item.path[:3], None))
                if isinstance(value, torch.Tensor):
                    found[item] = value
        return found

    def _state(self, item: Input) -> torch.Tensor:
        number, name, *keys = item.path
        value: Any = self.optimizers[number].state.get(self.tree.tensor(name), {})
        try:
            for key in keys:
                value = value[key]
        except (IndexError, TypeError):
            raise KeyError(str(item)) from None
        if not isinstance(value, torch.Tensor):
            raise KeyError(str(item))
        return value


def addresses(tensors: Iterable[torch.Tensor]) -> list[int]:
    """What must stay the same for bound views to be right."""
    return [tensor.data_ptr() for tensor in tensors]


def sharing(tensors: Iterable[torch.Tensor]) -> list[int]:
    """For each tensor the place of the first one with the same memory: which of them share theirs."""
    first: dict[int, int] = {}
    found = []
    for place, tensor in enumerate(tensors):
        address = tensor.untyped_storage().data_ptr()
        found.append(first.setdefault(address, place) if address else place)
    return found


def forms_of(program: Program) -> dict[Input, Form]:
    """The form of every resident tensor when the step was captured."""
    return {
        place.root: place.root_like
        for place in program.places.values()
        if isinstance(place.root, Input) and place.root_like is not None
    }


def outside_of(program: Program) -> dict[torch.Tensor, Form]:
    """The tensors beside the inputs that the program reads or writes where they lie, and their form when captured."""
    return {
        place.root: place.root_like or Form.of(place.root)
        for place in program.places.values()
        if isinstance(place.root, torch.Tensor)
    }


def check_forms(
    forms: Mapping[Input, Form], tensors: Mapping[Input, torch.Tensor], outside: Mapping[torch.Tensor, Form]
) -> None:
    """Raises MismatchError when a resident tensor, or one outside, is now of another shape, dtype or strides than
    captured."""
    found = [(str(item), tensors[item], like) for item, like in forms.items()]
    for item, real, like in [*found, *(("a tensor that the step reaches", one, like) for one, like in outside.items())]:
        if (real.shape, real.stride(), real.dtype) != (like.shape, like.strides, like.dtype):
            raise MismatchError(
                f"{item} is {tuple(real.shape)} {real.dtype} with strides {tuple(real.stride())}; the plan was made "
                f"for {like.shape} {like.dtype} with strides {like.strides}; plan again for this model"
            )


def bind(
    program: Program, offsets: Mapping[int, int], tensors: Mapping[Input, torch.Tensor], arena: torch.Tensor
) -> dict[str, torch.Tensor]:
    """A real tensor for every place of the program; `offsets`: bytes into the arena, by storage."""
    arena_storage, start = arena.untyped_storage(), int(arena.storage_offset())
    places: dict[str, torch.Tensor] = {}
    for name, place in program.places.items():
        if place.storage is not None:
            offset = offsets.get(place.storage, 0)  # no offset: no bytes
            places[name] = view_at(arena_storage, start + offset, place.like)
        elif place.root is not None:
            real = tensors[place.root] if isinstance(place.root, Input) else place.root
            like = place.root_like or Form.of(real)
            shift = (int(real.storage_offset()) - like.offset) * real.element_size()
            places[name] = view_at(real.untyped_storage(), shift, place.like)
    return places
