"""Functions of torch that run other ops on fake tensors than on real ones, replaced while a step is traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

from roam_lab.capture.replaced import replaced
from roam_lab.capture.torch_internals import FakeTensor, TorchDispatchMode


@contextmanager
def ways_as_in_eager() -> Iterator[None]:
    """A context for tracing a step whose values are known from a log: these functions run the ops of eager."""
    apply = _applied(torch.nn.Module._apply)
    with replaced(
        [
            (functional, "one_hot", _one_hot),
            (torch.nn.Module, "_apply", apply),
            (torch.Tensor, "__format__", _formatted),
        ]
    ):
        yield


def _one_hot(tensor: torch.Tensor, num_classes: int = -1) -> torch.Tensor:
    """`one_hot` by the ops of eager, which looks at the values and scatters; on fakes torch compares with a range."""
    if not tensor.numel():
        return _original_one_hot(tensor, num_classes)
    count: Any = num_classes
    if tensor.device.type == "cpu" or num_classes == -1:
        least, most = torch.aminmax(tensor) if _TAKES_BOTH else (tensor.min(), None)
        if int(least.item()) < 0:
            raise RuntimeError("Class values must be non-negative.")
        highest = (tensor.max() if most is None else most).item()
        if num_classes == -1:
            count = int(highest) + 1
        elif highest >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    zeros = torch.ops.aten.zeros.default
    made: torch.Tensor = zeros([*tensor.shape, count], dtype=tensor.dtype, layout=tensor.layout, device=tensor.device)
    return made.scatter_(-1, tensor.unsqueeze(-1), 1)


_original_one_hot = functional.one_hot


def _formatted(tensor: torch.Tensor, how: str) -> str:
    """`format` of a tensor without dimensions reads its number; on a fake torch would return a text about the fake. For
    an integer the number becomes a condition of the step. A float (a loss) differs in every step; its text is
    refused."""
    if not isinstance(tensor, FakeTensor) or isinstance(tensor, torch.nn.Parameter) or tensor.dim():
        return _original_format(tensor, how)
    if tensor.is_floating_point() or tensor.is_complex():
        raise TypeError("__format__ of a SymFloat")  # `refusal.explain` knows it
    value = tensor.item()
    return format(bool(value) if tensor.dtype is torch.bool else int(value), how)


_original_format: Callable[[torch.Tensor, str], str] = torch.Tensor.__format__


class _Names(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def _takes_both() -> bool:
    with _Names() as names:
        _original_one_hot(torch.tensor([0, 1]), 2)
    return any("aminmax" in name for name in names.seen)


_TAKES_BOTH = _takes_both()
"""Whether this torch's `one_hot` reads the least and the greatest value by one op. Found out on import: inside a trace
the answer would be that for fakes."""


def _applied(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Module._apply` that leaves parameters alone where nothing changes, as `module.to(...)` does in eager; with fakes
    torch would exchange each parameter."""

    def apply(module: torch.nn.Module, function: Callable[..., Any], recurse: bool = True) -> Any:
        own = [*module.parameters(recurse), *module.buffers(recurse)]
        with torch.no_grad():
            same = all(function(tensor) is tensor for tensor in own)
        return module if same else original(module, function, recurse)

    return apply
