"""Checks of the device that the user asks for, with errors that say what to do where this machine has none."""

from __future__ import annotations

from typing import Any

import torch

from roam_lab.capture.inputs import batch_leaves
from roam_lab.errors import DeviceError, InputError

ADVICE = (
    "capture on the CPU, where other kernels may be chosen, or capture and time it on a machine with a GPU "
    "(roam profile --device cuda --timing -o GRAPH.json.gz) and plan that file here"
)
"""What a user can do who wants a CUDA step captured on a machine without CUDA."""


def check_device(name: str, instead: str = "use --device cpu") -> torch.device:
    """The device called `name`. Raises DeviceError, which says what to do `instead`, where this machine has none."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"{name}: no such device; use cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"{name}: {no_cuda()}; {instead}")
    return device


def no_cuda() -> str:
    """A text that says what is missing: a torch built with CUDA, or a device."""
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    return f"torch finds no CUDA device on this machine (torch {torch.__version__} is built {built})"


def check_lies_on(model: torch.nn.Module, name: str) -> None:
    """Check that a step of `model` can be captured on the device called `name`.

    Raises DeviceError where this machine has no such device, InputError where the model is neither on it nor on meta.
    """
    wanted = check_device(name, ADVICE)
    own = {parameter.device.type for parameter in model.parameters()} - {"meta", wanted.type}
    if own:
        raise InputError(
            f"the model lies on {', '.join(sorted(own))}, not on {wanted.type}; move it there with its batch, and make "
            "its optimizer anew, before it is profiled"
        )


def check_holds_data(model: torch.nn.Module, batch: Any, to_do: str) -> None:
    """Check that `model` and `batch` hold values, so that a step can run. `to_do`: why, for the error ("measured").

    Raises InputError, naming the one that is on the meta device and what to do.
    """
    tensors = [*model.named_parameters(), *model.named_buffers()]
    empty = next((name for name, tensor in tensors if tensor.is_meta), None)
    if empty is not None:
        raise InputError(
            f"the model is on the meta device and holds no weights ({empty}), so it cannot be {to_do}; build it on a "
            "real device for that, or profile it with fake (--fake), which captures and plans it without"
        )
    if any(isinstance(leaf, torch.Tensor) and leaf.is_meta for leaf in batch_leaves(batch)):
        raise InputError(
            f"the batch is on the meta device and holds no values, so the step cannot be {to_do}; give a real batch, "
            "or profile with fake (--fake), which captures and plans the step without"
        )
