"""What a stored capture is found by: all that is known before the step has run, and decides how it is captured."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy
import torch

from roam_lab.capture.gradients import how_it_lies
from roam_lab.capture.inputs import batch_leaves, batch_signature, batch_structure, fixed_settings, setting_inputs
from roam_lab.capture.sources.flags import Flags
from roam_lab.capture.stored.code import digest_of_files
from roam_lab.capture.training_step import TrainingStep
from roam_lab.capture.user_lines import OURS

_ROOMS = ("capture", "demo", "distributed", "ir", "measure", "runtime")
"""Of roam-lab, whose code makes captures and reads them."""


def key_of_capture(training: TrainingStep, batch: Any, way: int) -> str:
    """A digest. `way`: which of the ways through the step it is, counted in the sequence in which they are captured."""
    model = training.model
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    facts = [
        _versions(),
        _machine(device),
        os.path.abspath(sys.argv[0]) if sys.argv else "",
        way,
        Flags({device.type}).texts(),
        batch_signature(batch),
        _text(batch_structure(batch)),
        _sharing(batch_leaves(batch)),
        [_module(name, one) for name, one in model.named_modules(remove_duplicate=False)],
        [_tensor(name, one) for name, one in (*training.parameters.items(), *model.named_buffers())],
        _libraries(model),
        [_text(type(one)) for one in training.optimizers],
        _text(fixed_settings(training.optimizers)),
        [(*map(str, found.path), type(value).__name__) for found, value in setting_inputs(training.optimizers)],
        [training.adds, _text(training.keep_grads)],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _versions() -> list[str]:
    own = digest_of_files([OURS + room for room in _ROOMS])
    return [version("roam-lab"), own, sys.version, torch.__version__, str(torch.version.git_version), numpy.__version__]


def _machine(device: torch.device) -> list[str]:
    found = [platform.system(), platform.machine(), torch.backends.cpu.get_cpu_capability(), str(device)]
    if device.type == "cuda":
        found += [torch.cuda.get_device_name(device), str(torch.version.cuda)]
    return found


def _libraries(model: torch.nn.Module) -> list[list[str]]:
    """The packages that the model's classes come from."""
    roots = sorted({base.__module__.partition(".")[0] for one in model.modules() for base in type(one).__mro__})
    return [[root, str(getattr(sys.modules.get(root), "__version__", ""))] for root in roots]


def _module(name: str, module: torch.nn.Module) -> list[Any]:
    return [name, _text(type(module)), module.training]


def _tensor(name: str, tensor: torch.Tensor) -> list[Any]:
    grad = None if tensor.grad is None else [str(how_it_lies(tensor.grad)), tensor.grad.requires_grad]
    strides = list(tensor.stride()) if tensor.layout is torch.strided else str(tensor.layout)
    return [name, str(tensor.dtype), list(tensor.shape), strides, str(tensor.device), tensor.requires_grad, grad]


def _sharing(leaves: Sequence[Any]) -> list[list[int]]:
    """Which leaves of a batch lie in one storage, and where."""
    first: dict[int, int] = {}
    found = []
    for place, one in enumerate(leaves):
        if isinstance(one, torch.Tensor) and one.layout is torch.strided and not one.is_meta:
            storage = one.untyped_storage()
            number = first.setdefault(storage.data_ptr() if storage.nbytes() else -1 - place, place)
            found.append([number, int(one.storage_offset())])
    return found


def _text(value: Any) -> str:
    """Of nested tuples and dicts of plain values and types."""
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{key!r}: {_text(one)}' for key, one in value.items()))}}}"
    return f"{type(value).__name__} {value!r}"
