"""Tensors that a step carries to the next: it reads what is bound to a name, and binds a new tensor to it (a hidden
state, a running mean). Each planned step is given what is bound there by then, as it is given its batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import GraphModule
from torch.overrides import TorchFunctionMode

from roam_lab.capture.inputs import Input, batch_signature, batch_structure, is_number
from roam_lab.capture.nodes import storage_key, tensors_of, written_arguments
from roam_lab.capture.sources.places import LeafPlace, ValuePlace
from roam_lab.capture.sources.values import is_plain
from roam_lab.capture.torch_internals import FakeTensor, pytree
from roam_lab.errors import CaptureError


class LooksMode(TorchFunctionMode):
    """Notes, in `at`, the real tensors that the step's code looks at, also where it runs no op: asks for a shape."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, torch.Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for one in args:
            if isinstance(one, torch.Tensor) and not isinstance(one, FakeTensor):
                self.at[id(one)] = one
        return func(*args, **(kwargs or {}))


class CarriedError(Exception):
    """The step reads tensors that it binds anew, which were constants of this trace; it has to be traced again with
    them as inputs."""

    def __init__(self, places: list[ValuePlace]) -> None:
        super().__init__()
        self.places = places


def check_carried(path: str, before: Any, after: Any, computes: bool) -> None:
    """Raise CaptureError where `after`, bound to `path` in place of `before`, cannot be carried to the next step.

    `computes`: whether the step computes with tensors of `before`, which then have to keep shapes and types; it may
    just ask for them.
    """
    what = "the tensor" if isinstance(before, torch.Tensor) else "a tensor in"
    does = f"the step reads {what} {path} and binds"
    leaves, now = pytree.tree_leaves(before), pytree.tree_leaves(after)
    same = batch_structure(before) == batch_structure(after) and list(map(_form, leaves)) == list(map(_form, now))
    if computes and not same:
        raise CaptureError(
            f"{does} another of another shape or kind to it; keep its shape and type, or make it a buffer "
            "(register_buffer)"
        )
    if any(isinstance(one, torch.Tensor) and one.requires_grad for one in (*leaves, *now)):
        raise CaptureError(f"{does} a new one with its graph to it; bind it without (.detach())")


def _form(leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        return leaf.shape, leaf.dtype, leaf.device, leaf.layout
    return "a number" if isinstance(leaf, int | float | torch.SymInt | torch.SymFloat | torch.SymBool) else type(leaf)


def carried_form(value: Any, inputs: Collection[int] = ()) -> tuple[Any, ...]:
    """Equal for two values if one program fits both. `inputs`: see `structure_of`."""
    return *structure_of(value, inputs), batch_signature(value)


def structure_of(value: Any, inputs: Collection[int] = ()) -> tuple[Any, ...]:
    """Equal for two values if code that looks for None, for lengths, types and plain values takes the same way with
    both. `inputs`: indices of the leaves that are inputs of the step: numbers."""
    leaves = list(enumerate(pytree.tree_leaves(value)))
    seen = [(type(one), repr(one) if is_plain(one) and at not in inputs else "") for at, one in leaves]
    return batch_structure(value), seen


def numbers_in(place: ValuePlace, value: Any) -> list[LeafPlace]:
    """The places of the numbers in a tuple, list or dict, `value`, that is bound to `place`."""
    if isinstance(value, int | float):
        return []
    return [
        LeafPlace(place.container, (place.key, index), f"{place.path}{pytree.keystr(path)}")
        for index, (path, leaf) in enumerate(pytree.tree_flatten_with_path(value)[0])
        if is_number(leaf)
    ]


def leaves_given(place: ValuePlace, numbers: Iterable[ValuePlace]) -> frozenset[int]:
    """Which leaves of what is bound to `place` are inputs; `numbers`: the places of all numbers that are."""
    inside = (one for one in numbers if isinstance(one, LeafPlace) and one.container is place.container)
    return frozenset(one.key[1] for one in inside if one.key[0] == place.key)


def carried_tensor(places: Sequence[ValuePlace], found: Input) -> Any:
    """The present tensor of an input that is carried."""
    index, leaf, _ = found.path
    return pytree.tree_leaves(places[index].read())[leaf]


def check_alone(module: GraphModule, inputs: Iterable[tuple[Input, Any]], bound: Mapping[str, Any]) -> None:
    """Raise CaptureError where a traced step writes into a tensor that it carries, or reaches it under another name;
    and where it binds one tensor to two names that it carries: a planned step would make two. `bound`: path of each
    value that is carried -> what the step binds there."""
    paths = {storage_key(one): str(found.path[-1]) for found, one in inputs if found.kind == "carried"}
    for node in module.graph.nodes if paths else ():
        written = node.op == "call_function"
        nodes = written_arguments(node) if written else [node] if node.op == "get_attr" else []
        for tensor in (one for reached in nodes for one in tensors_of(reached)):
            if storage_key(tensor) in paths:
                does = "writes into it, too" if written else "reaches it under another name, too"
                raise CaptureError(
                    f"the step reads the tensor {paths[storage_key(tensor)]} and binds a new one to it, and {does}; "
                    "write it in place alone (copy_), or make it a buffer (register_buffer)"
                )
    owners: dict[int, str] = {}
    for path, value in bound.items():
        for leaf in pytree.tree_leaves(value):
            if isinstance(leaf, torch.Tensor) and owners.setdefault(storage_key(leaf), path) != path:
                raise CaptureError(
                    f"the step binds one tensor to {owners[storage_key(leaf)]} and to {path}, and reads both in the "
                    "next step; bind a copy to one of them (.clone())"
                )
