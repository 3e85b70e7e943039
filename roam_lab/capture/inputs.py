"""The inputs of a training step: model tensors, optimizer state and settings, batch, Python numbers; how each is named,
found again and compared."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from roam_lab.capture.prime import numeric_settings
from roam_lab.capture.sources.probe import Probe
from roam_lab.capture.sources.values import is_plain
from roam_lab.capture.torch_internals import FakeTensor, pytree
from roam_lab.errors import CaptureError

Optimizers = tuple[torch.optim.Optimizer, ...]
Kind = Literal["parameter", "buffer", "gradient", "state", "setting", "batch", "python", "carried"]


_PLAIN = (Probe, torch.Tensor, bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the step, by its kind and the path at which its value is found in every later step.

    `path` by kind. parameter, gradient (from before the step), buffer: (name,). state: (optimizer index, parameter
    name, key, ...), with further keys where the state nests. setting (of a parameter group): (optimizer index, group
    index, key, part or None). batch: (leaf index,). python (a number that the step changes itself): (index in
    `Trace.places`, path as the user writes it). carried (a tensor that the step reads and binds anew): (index in
    `Trace.carried`, leaf index, path as the user writes it).
    """

    kind: Kind
    path: tuple[Any, ...]

    @property
    def role(self) -> tuple[str, ...]:
        """A key that is different for every input of a step, to sort by."""
        return (self.kind, *(f"{type(part).__name__} {part}" for part in self.path))

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(str(part) for part in self.path if part is not None)}"


def batch_leaves(batch: Any) -> list[Any]:
    """The leaves of a batch (tensors and others), in the order that all of capture and runtime use.

    A mapping that pytree does not know (transformers' BatchEncoding) is opened as a plain dict, and so is a dataclass.
    """
    opened = _opened(batch)
    return pytree.tree_leaves(batch if opened is None else opened)


def batch_structure(batch: Any) -> Any:
    """The structure of a batch without its leaves, as nested tuples of types and keys; batches of equal structure have
    their leaves in the same order. The order of a dict's keys is part of it, and so are the numbers and strings among
    the attributes of a tensor, or of a container of a class of the user's."""
    if isinstance(batch, torch.Tensor):
        given = given_attributes(batch).items()
        return tuple((name, value if is_plain(value) else type(value)) for name, value in given) or None
    beside = tuple((name, value) for name, value in _attributes(batch) if is_plain(value))
    opened = batch if isinstance(batch, Mapping) else _opened(batch)
    if opened is not None:
        return (type(batch), beside, tuple((key, batch_structure(opened[key])) for key in opened))
    if isinstance(batch, list | tuple):
        return (type(batch), beside, tuple(map(batch_structure, batch)))
    node = pytree.SUPPORTED_NODES.get(type(batch))
    if node is None:
        return None
    return (type(batch), tuple(map(batch_structure, node.flatten_fn(batch)[0])))


def with_leaves(batch: Any, leaves: list[Any]) -> Any:
    """A batch of the same kind with other leaves."""
    opened = _opened(batch)
    if opened is None:
        return pytree.tree_unflatten(leaves, pytree.tree_structure(batch))
    twin = copy.copy(batch)
    for key, value in pytree.tree_unflatten(leaves, pytree.tree_structure(opened)).items():
        if hasattr(batch, "keys"):
            twin[key] = value
        else:
            object.__setattr__(twin, key, value)  # whether it is frozen or not
    return twin


def given_attributes(leaf: torch.Tensor) -> dict[str, Any]:
    """The attributes that a user has given to a tensor of the batch."""
    if isinstance(leaf, FakeTensor):
        return {}
    return {name: value for name, value in vars(leaf).items() if not name.startswith("_dynamo")}


def mapped(function: Callable[[Any], Any], batch: Any) -> Any:
    """A batch of the same kind with what `function` makes of each leaf."""
    return with_leaves(batch, [function(leaf) for leaf in batch_leaves(batch)])


def _opened(batch: Any) -> dict[Any, Any] | None:
    """The entries of a mapping, or the fields of a dataclass, that pytree does not know; None of anything else."""
    if type(batch) in pytree.SUPPORTED_NODES:
        return None
    if hasattr(batch, "keys"):
        return {key: batch[key] for key in batch}
    if dataclasses.is_dataclass(type(batch)):  # of its type: a probe in the batch must not be looked at by others
        return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return None


def _attributes(batch: Any) -> list[tuple[str, Any]]:
    """The attributes, besides its entries, of a dict, list or tuple of a class of the user's, or of a dataclass."""
    opened = batch if isinstance(batch, Mapping) else _opened(batch)
    if not isinstance(batch, list | tuple) and opened is None:
        return []
    found = getattr(batch, "__dict__", {})
    if opened is None:
        return list(found.items())
    entries = {id(opened[key]) for key in opened}  # of a ModelOutput or a dataclass: attributes, too
    kept = [(name, value) for name, value in found.items() if id(value) not in entries]
    return [(name, value) for name, value in kept if not (isinstance(value, Mapping) and list(value) == list(opened))]


def check_attributes(batch: Any) -> None:
    """Raises CaptureError for a tensor that the batch holds beside its entries."""
    for name, value in _attributes(batch):
        if any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(value)):
            raise CaptureError(
                f"the batch holds a tensor in its attribute .{name}, which is none of its entries; give it as an entry"
            )
    parts: Any = () if isinstance(batch, str) else batch
    opened = batch if isinstance(batch, Mapping) else _opened(batch)
    if opened is not None:
        parts = [opened[key] for key in opened]
    for part in parts if isinstance(parts, list | tuple) else ():
        check_attributes(part)


def check_leaves(leaves: list[Any]) -> None:
    """Raises CaptureError for a leaf that may hide data which would be frozen into the graph."""
    for leaf in leaves:
        kind = _unplanned(leaf) if isinstance(leaf, torch.Tensor) else None
        if kind is not None:
            raise CaptureError(
                f"the batch holds a {kind} tensor, which has no storage that could be planned; give a dense one, or "
                "train eagerly"
            )
        for name, value in given_attributes(leaf).items() if isinstance(leaf, torch.Tensor) else ():
            if not is_plain(value):
                raise CaptureError(
                    f"a tensor of the batch has an attribute .{name}, a {type(value).__name__}, which would be frozen "
                    "into the plan; give it as an entry of the batch"
                )
        if not isinstance(leaf, _PLAIN):
            raise CaptureError(
                f"the batch holds a {type(leaf).__module__}.{type(leaf).__qualname__}, whose contents would be frozen "
                "into the plan; give tensors in dicts, lists and tuples (torch.as_tensor makes one of an array)"
            )


def batch_signature(batch: Any, meta_device: str = "meta") -> str:
    """A text that is equal for two batches if one plan fits both: dtype, shape, strides and device of tensors, the type
    of numbers and strings, other leaves by value.

    `meta_device`: the device on which tensors that are now on the meta device will be when the step runs.
    """
    return ", ".join(_leaf_signature(value, meta_device) for value in batch_leaves(batch))


def signatures_alike(one: str, other: str) -> bool:
    """Whether the signatures of two batches are equal, apart from truth values, on which the step may branch."""
    return re.sub(r"\bFalse\b", "True", one) == re.sub(r"\bFalse\b", "True", other)


def _leaf_signature(value: Any, meta_device: str) -> str:
    if isinstance(value, torch.Tensor):
        return _tensor_signature(value, meta_device)
    return type(value).__name__ if is_text(value) or is_number(value) else repr(value)


def is_text(value: Any) -> bool:
    """Whether a leaf is a string, which a step seldom reads, or a number of another library."""
    return isinstance(value, str | bytes) or (isinstance(value, int | float) and type(value) not in (int, float, bool))


def is_number(value: Any) -> bool:
    """An int or a float; True and False are none."""
    return type(value) in (int, float)


def _unplanned(tensor: torch.Tensor) -> str | None:
    """The kind of a tensor that has no strides or storage, in words; None for an ordinary tensor."""
    if tensor.is_nested:
        return "nested"
    if tensor.layout is not torch.strided:
        return "sparse" if "sparse" in str(tensor.layout) else str(tensor.layout).removeprefix("torch._")
    return "quantized" if tensor.is_quantized else None


def _tensor_signature(tensor: torch.Tensor, meta_device: str) -> str:
    kind = _unplanned(tensor)
    if kind is not None:
        return f"{kind} {tensor.dtype}"
    bits = (" conj" if tensor.is_conj() else "") + (" neg" if tensor.is_neg() else "")
    strides = "" if tensor.is_contiguous() else f" strides {list(tensor.stride())}"
    device = meta_device if tensor.is_meta else tensor.device.type
    grad = " with gradient" if tensor.requires_grad else ""
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}{strides}@{device}{bits}{grad}"


def model_digest(model: torch.nn.Module) -> str:
    """A digest (SHA-256) that is equal for two models if one plan fits both: of names, shapes, dtypes and requires_grad
    of all parameters and buffers."""
    named = [*model.named_parameters(), *model.named_buffers()]
    lines = [f"{name} {tensor.dtype} {list(tensor.shape)} {tensor.requires_grad}" for name, tensor in named]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def state_inputs(optimizers: Optimizers, names: dict[int, str]) -> Iterator[tuple[Input, torch.Tensor]]:
    """An input, with its present tensor, for every tensor in every optimizer's state, nested ones included."""
    for number, optimizer in enumerate(optimizers):
        for group in optimizer.param_groups:
            for p in group["params"]:
                for keys, value in _tensors_below(optimizer.state.get(p, {})):
                    yield Input("state", (number, names[id(p)], *keys)), value


def _tensors_below(value: Any) -> Iterator[tuple[tuple[Any, ...], torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield (), value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (((key, *keys), tensor) for keys, tensor in _tensors_below(item))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from (((index, *keys), tensor) for keys, tensor in _tensors_below(item))


def groups_of(optimizers: Optimizers) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(optimizer index, group index, group) of every parameter group; one that two optimizers share only once."""
    seen: set[int] = set()
    for number, optimizer in enumerate(optimizers):
        for index, group in enumerate(optimizer.param_groups):
            if id(group) not in seen:
                seen.add(id(group))
                yield number, index, group


def setting_inputs(optimizers: Optimizers) -> Iterator[tuple[Input, Any]]:
    """An input, with its present value, for every float or tensor among the settings of every parameter group."""
    for number, index, group in groups_of(optimizers):
        for key, value in numeric_settings(group).items():
            parts = enumerate(value) if isinstance(value, tuple) else [(None, value)]
            for part, found in parts:
                yield Input("setting", (number, index, key, part)), found
        for key, value in group.items():
            if isinstance(value, torch.Tensor):
                yield Input("setting", (number, index, key, None)), value


def fixed_settings(optimizers: Optimizers, counted: Collection[tuple[int, int, Any]] = ()) -> tuple[Any, ...]:
    """The settings that are constants of a captured step, to be compared: flags, whole numbers, and how many parameters
    each group has.

    `counted`: (optimizer index, group index, key) of whole numbers to be left out, as the step changes them itself.
    """
    found = []
    for number, index, group in groups_of(optimizers):
        kept = {
            key: value
            for key, value in group.items()
            if isinstance(value, bool | int | str | tuple | None)
            and key != "initial_lr"
            and (number, index, key) not in counted
        }
        found.append((len(group["params"]), {key: kept[key] for key in kept.keys() - numeric_settings(group).keys()}))
    return tuple(found)


def read_setting(optimizers: Optimizers, path: tuple[Any, ...]) -> Any:
    """The present value of a setting input."""
    number, index, key, part = path
    value = optimizers[number].param_groups[index][key]
    return value if part is None else value[part]
