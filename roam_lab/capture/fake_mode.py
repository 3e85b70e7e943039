"""Fake tensors (shapes without data) to trace with: the fake mode of one trace, and fakes of the user's tensors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any

import torch

from roam_lab.capture.guide import Guide
from roam_lab.capture.host_values import READ, HostValues
from roam_lab.capture.torch_internals import FakeTensor, FakeTensorMode, ShapeEnv
from roam_lab.capture.user_lines import user_line


def no_answer() -> bool | int | None:
    """The answer for a number of which nothing is known: None."""
    return None


class StepFakeMode(FakeTensorMode):
    """Fake mode for one trace. A number that the step reads out of a tensor is given by `values`; `guide` corrects
    results that fake kernels get wrong.

    The cache of fake mode is off for ops with several results, as it forgets when two of them are one tensor.
    """

    def __init__(self, guide: Guide | None = None, fixed: Collection[int] = ()) -> None:
        self.settings = ShapeEnv()
        self.guide = guide
        self.values: HostValues | None = None
        self.answer: Callable[[], bool | int | None] = no_answer
        super().__init__(shape_env=self.settings, allow_non_fake_inputs=True, static_shapes=True)
        self.values = HostValues(self.settings, fixed)

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is READ and self.values is not None:
            answer = self.answer() if self.guide is None else self.guide.answer()
            number = self.values.read(args[0].dtype, answer, user_line(sys._getframe(1)))
            if number is not None:
                return number
            args[0].item_memo = None  # each read is a number of its own, as it is with a log
        self.cache_enabled = len(func._schema.returns) == 1
        try:
            result = _as_masked(func, args, kwargs or {}, super().dispatch(func, types, args, kwargs))
            result = _with_statistics_of(func, args, result)
            result = _with_seeds_on_host(func, args, kwargs or {}, result)
        except Exception:
            made = None if self.guide is None else self.guide.made(self, func)
            if made is None:
                raise
            return made
        return result if self.guide is None else self.guide.correct(func, result)


def _as_masked(func: Any, args: Any, kwargs: Any, result: Any) -> Any:
    """`result` with None for each one that `output_mask` does not ask for, as real kernels return it; some fake kernels
    return a tensor."""
    names = [argument.name for argument in func._schema.arguments]
    if "output_mask" not in names or not isinstance(result, tuple):
        return result
    mask = {**dict(zip(names, args, strict=False)), **kwargs}["output_mask"]
    if len(mask) != len(result):
        return result
    return tuple(one if asked else None for one, asked in zip(result, mask, strict=True))


class Fakes:
    """Makes the fake of a real tensor (or of one on the meta device, or of a fake of another mode); the same tensor
    always has the same fake.

    A fake has its tensor's gradient hooks, and no gradient at first.
    """

    def __init__(self, mode: FakeTensorMode, device: torch.device | None) -> None:
        self.mode = mode
        self.device = device
        self._twins: dict[int, torch.Tensor] = {}
        self._kept: list[torch.Tensor] = []

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        twin = self._twins.get(id(tensor))
        if twin is None:
            twin = self._make(tensor)
            if twin.is_leaf and twin.requires_grad:
                twin.grad = None
                for hook in (tensor._backward_hooks or {}).values():
                    twin.register_hook(hook)
                for hook in (tensor._post_accumulate_grad_hooks or {}).values():
                    twin.register_post_accumulate_grad_hook(hook)
            self._twins[id(tensor)] = twin
            self._kept.append(tensor)
        return twin

    def forget(self) -> list[torch.Tensor]:
        """Keep no tensor alive from now on. Returns those of which fakes were made."""
        kept, self._kept = self._kept, []
        self._twins.clear()
        return kept

    def made(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The fake of a tensor, if it was made already; else None."""
        return self._twins.get(id(tensor))

    def _make(self, tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, FakeTensor) and tensor.device.type != "meta":
            return self.mode.from_tensor(tensor, static_shapes=True)
        device = self.device if tensor.device.type == "meta" and self.device is not None else tensor.device
        with self.mode:
            twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
            if isinstance(tensor, torch.nn.Parameter):
                twin = torch.nn.Parameter(twin, requires_grad=tensor.requires_grad)
        return twin


def _with_statistics_of(func: Any, args: Any, result: Any) -> Any:
    """Corrects norms of a 16-bit input with 32-bit weights (autocast on the CPU): real kernels return 32-bit mean and
    deviation, and a 16-bit gradient of the input; fake kernels do not. On CUDA the gradient of group norm's input is
    contiguous, whatever the strides of the input (`native_group_norm_backward` in
    aten/src/ATen/native/group_norm.cpp)."""
    if func is torch.ops.aten.native_group_norm_backward.default and result[0] is not None:
        given = result[0].to(args[1].dtype)
        return (given.contiguous() if given.device.type == "cuda" else given, *result[1:])
    if func is torch.ops.aten.native_layer_norm_backward.default:  # 32-bit gradients of the weights, in torch 2.8, too
        given = (args[1], args[5], args[6])
        return tuple(one if one is None or t is None else one.to(t.dtype) for one, t in zip(result, given, strict=True))
    if func not in _NORMS:
        return result
    given, weight = args[0], next((one for one in args[1:3] if isinstance(one, torch.Tensor)), None)
    if weight is None or weight.dtype == given.dtype or given.device.type != "cpu":
        return result
    return (result[0], *(one.to(weight.dtype) for one in result[1:]))


def _with_seeds_on_host(func: Any, args: Any, kwargs: Any, result: Any) -> Any:
    """Corrects memory-efficient attention: the real kernel returns seed and offset on the host (since torch 2.14 only
    with dropout; tried: 2.11 and 2.14), the fake kernel on the device."""
    if func not in _SEEDED or args[0].device.type != "cuda":
        return result
    names = [argument.name for argument in func._schema.arguments]
    drops = {**dict(zip(names, args, strict=False)), **kwargs}.get("dropout_p")
    if not drops and _ON_DEVICE_WITHOUT_DROPOUT:
        return result
    seeds = [one.name in ("philox_seed", "philox_offset") for one in func._schema.returns]
    return tuple(one.to("cpu") if seed else one for one, seed in zip(result, seeds, strict=True))


_ON_DEVICE_WITHOUT_DROPOUT = torch.__version__ >= "2.14"  # no comparison of strings
_SEEDED = (
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._efficient_attention_forward.default,
)
_NORMS = (
    torch.ops.aten.native_layer_norm.default,
    torch.ops.aten.native_group_norm.default,
    torch.ops.aten.native_batch_norm.default,
)
