"""From a captured step to the user's own tensors: where each input lives now, and whether it still does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture import Captured
from roam_lab.capture.inputs import Input, read_setting
from roam_lab.errors import MismatchError
from roam_lab.ir import Graph
from roam_lab.plan.plan import Plan
from roam_lab.runtime.arena import view_at
from roam_lab.runtime.program import Program


@dataclass(frozen=True)
class Residents:
    """The tensors that a step updates in place, by input; found anew when the user replaces one."""

    model: torch.nn.Module
    optimizers: tuple[torch.optim.Optimizer, ...]
    inputs: tuple[Input, ...]

    def find(self) -> dict[Input, torch.Tensor]:
        """The present tensor of every resident input (all but batch and numbers). Raises KeyError when one is gone."""
        named = dict([*self.model.named_parameters(), *self.model.named_buffers()])
        found: dict[Input, torch.Tensor] = {}
        for item in self.inputs:
            if item.kind in ("parameter", "buffer"):
                found[item] = named[item.path[0]]
            elif item.kind == "state":
                number, name, *keys = item.path
                value: Any = self.optimizers[number].state.get(named[name], {})
                for key in keys:
                    value = value[key]
                found[item] = value
            elif item.kind == "setting":
                value = read_setting(self.optimizers, (*item.path[:3], None))
                if isinstance(value, torch.Tensor):
                    found[item] = value
        return found


def addresses(tensors: Mapping[Input, torch.Tensor]) -> list[int]:
    """What must stay the same for bound views to be right."""
    return [tensor.data_ptr() for tensor in tensors.values()]


def bind(
    program: Program, captured: Captured, plan: Plan, graph: Graph, tensors: Mapping[Input, torch.Tensor],
    arena: torch.Tensor,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """A real tensor for every place of the program."""
    placeholders = [node for node in captured.trace.module.graph.nodes if node.op == "placeholder"]
    input_of: dict[Node, Input] = dict(zip(placeholders, captured.trace.inputs, strict=True))
    arena_storage, start = arena.untyped_storage(), int(arena.storage_offset())
    places: dict[str, torch.Tensor] = {}
    for name, place in program.places.items():
        if place.storage is not None:
            offset = plan.offsets.get(place.storage, 0)  # no offset: no bytes
            places[name] = view_at(arena_storage, start + offset, place.like)
        elif place.root is not None:
            real = _resident(captured, place.root, input_of, tensors)
            fake: Any = place.root.meta["val"]
            shift = int(real.storage_offset() - fake.storage_offset()) * real.element_size()
            places[name] = view_at(real.untyped_storage(), shift, place.like)
    return places


def _resident(
    captured: Captured, root: Node, input_of: Mapping[Node, Input], tensors: Mapping[Input, torch.Tensor]
) -> torch.Tensor:
    if root.op == "get_attr":
        constant: torch.Tensor = getattr(captured.trace.module, str(root.target))
        return constant
    real, fake = tensors[input_of[root]], root.meta["val"]
    if real.shape != fake.shape or real.stride() != fake.stride() or real.dtype != fake.dtype:
        raise MismatchError(
            f"{input_of[root]} is {tuple(real.shape)} {real.dtype} with strides {real.stride()}; the plan was made for "
            f"{tuple(fake.shape)} {fake.dtype} with strides {fake.stride()}; plan again for this model"
        )
    return real
