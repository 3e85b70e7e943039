"""Everything that training leaves, as names and digests: what two runs are compared by."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

PLAIN = (bool, int, float, str, bytes, type(None))


def digest(value: Any) -> str:
    """Equal for equal bits: a tensor by dtype, shape and bytes, whatever its strides; anything else by its repr."""
    if type(value).__name__ == "FakeTensor":
        return f"a FakeTensor {tuple(value.shape)} left in the user's objects"
    if not isinstance(value, torch.Tensor):
        return repr(value)
    flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return f"{value.dtype}{tuple(value.shape)} {hashlib.sha256(data).hexdigest()[:16]}"


def leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The named leaves of nested dicts, lists and tuples."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(f"{name}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from leaves(f"{name}[{index}]", item)
    else:
        yield name, value


def plain(value: Any) -> bool:
    """Whether a value consists of numbers, strings and containers of them, so that its repr tells all."""
    if isinstance(value, (list, tuple)):
        return all(plain(item) for item in value)
    if isinstance(value, dict):
        return all(plain(key) and plain(item) for key, item in value.items())
    return isinstance(value, PLAIN)


def snapshot(model: nn.Module, optimizers: tuple[torch.optim.Optimizer, ...], extra: Any) -> dict[str, str]:
    """Parameters, buffers, plain attributes of `model`; state, groups of each optimizer; `extra`; random states."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {f"parameter {name}": digest(value) for name, value in model.named_parameters()}
    found |= {f"buffer {name}": digest(value) for name, value in model.named_buffers()}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if plain(value):
                found[f"attribute {name}.{key}"] = repr(value)
    for index, optimizer in enumerate(optimizers):
        for number, (parameter, state) in enumerate(optimizer.state.items()):
            owner = names.get(id(parameter), f"of a {type(parameter).__name__} outside the model ({number})")
            found |= {key: digest(value) for key, value in leaves(f"optimizer {index} state {owner}", state)}
        for number, group in enumerate(optimizer.param_groups):
            rest = {key: value for key, value in group.items() if key != "params"}
            found |= {key: digest(value) for key, value in leaves(f"optimizer {index} group {number}", rest)}
    found |= {key: digest(value) for key, value in leaves("extra", extra)}
    found["torch's random state"] = digest(torch.get_rng_state())
    found["Python's random state"] = hashlib.sha256(repr(random.getstate()).encode()).hexdigest()[:16]
    kind, words, *rest = np.random.get_state()
    found["NumPy's random state"] = hashlib.sha256(repr((kind, words.tolist(), rest)).encode()).hexdigest()[:16]
    return found
