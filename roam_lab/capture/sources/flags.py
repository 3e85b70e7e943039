"""Settings of the whole process that decide which kernels run and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch

Flag = tuple[str, Callable[[], Any]]

_FLAGS = (
    ("grad mode", torch, "is_grad_enabled"),
    ("inference mode", torch, "is_inference_mode_enabled"),
    ("autocast's cache", torch, "is_autocast_cache_enabled"),
    ("torch.use_deterministic_algorithms", torch, "are_deterministic_algorithms_enabled"),
    ("warn_only of deterministic algorithms", torch, "is_deterministic_algorithms_warn_only_enabled"),
    ("torch.utils.deterministic.fill_uninitialized_memory", torch._C, "_get_deterministic_fill_uninitialized_memory"),
    ("torch.get_float32_matmul_precision", torch, "get_float32_matmul_precision"),
    ("torch.get_default_dtype", torch, "get_default_dtype"),
    ("torch.get_num_threads", torch, "get_num_threads"),
    ("torch.backends.cudnn.enabled", torch._C, "_get_cudnn_enabled"),
    ("torch.backends.cudnn.benchmark", torch._C, "_get_cudnn_benchmark"),
    ("torch.backends.cudnn.deterministic", torch._C, "_get_cudnn_deterministic"),
    ("torch.backends.cudnn.allow_tf32", torch._C, "_get_cudnn_allow_tf32"),
    ("torch.backends.cuda.matmul.allow_tf32", torch._C, "_get_cublas_allow_tf32"),
    ("reduced precision of float16 products", torch._C, "_get_cublas_allow_fp16_reduced_precision_reduction"),
    ("reduced precision of bfloat16 products", torch._C, "_get_cublas_allow_bf16_reduced_precision_reduction"),
    ("float16 accumulation", torch._C, "_get_cublas_allow_fp16_accumulation"),
    ("torch.backends.mkldnn.enabled", torch._C, "_get_mkldnn_enabled"),
    ("torch.backends.mkldnn.deterministic", torch._C, "_get_mkldnn_deterministic"),
    ("torch.backends.mkldnn.allow_tf32", torch._C, "_get_onednn_allow_tf32"),
    ("torch.backends.nnpack", torch._C, "_get_nnpack_enabled"),
    ("flash attention", torch._C, "_get_flash_sdp_enabled"),
    ("memory-efficient attention", torch._C, "_get_mem_efficient_sdp_enabled"),
    ("plain attention", torch._C, "_get_math_sdp_enabled"),
    ("plain attention's reduced precision", torch._C, "_get_math_sdp_allow_fp16_bf16_reduction"),
    ("cuDNN attention", torch._C, "_get_cudnn_sdp_enabled"),
    ("overrideable attention", torch._C, "_get_overrideable_sdp_enabled"),
    ("the order of attention backends", torch._C, "_get_sdp_priority_order"),
    ("preferred BLAS library", torch._C, "_get_blas_preferred_backend"),
    ("preferred linear algebra library", torch._C, "_get_linalg_preferred_backend"),
    ("active torch functions modes (default device)", torch._C, "_len_torch_function_stack"),
    ("active dispatch modes", torch._C, "_len_torch_dispatch_stack"),
    ("hooks on saved tensors", torch._C._autograd, "_saved_tensors_hooks_is_enabled"),
)


class Flags:
    """The flags that this torch has, as they are at construction; autocast for each of the device types."""

    def __init__(self, device_types: Iterable[str] = ("cpu", "cuda")) -> None:
        self._flags: list[Flag] = [
            (name, getattr(home, reader)) for name, home, reader in _FLAGS if _readable(getattr(home, reader, None))
        ]
        for kind in sorted({"cpu", "cuda", *device_types} - {"meta"}):
            for name, reader in (
                (f"autocast of {kind}", torch.is_autocast_enabled),
                (f"autocast's dtype of {kind}", torch.get_autocast_dtype),
            ):
                if _readable(partial(reader, kind)):
                    self._flags.append((name, partial(reader, kind)))
        if _readable(_modes):
            self._flags.append(("active modes (default device)", _modes))
        self._readers = [reader for _, reader in self._flags]
        self.renew()

    def renew(self) -> None:
        """Take what holds now for right."""
        self._modes = _modes() if _readable(_modes) else ()  # keeps them, so that ids stay true
        self._before = [reader() for reader in self._readers]

    def check(self) -> str | None:
        """The first that differs, in words."""
        now = [reader() for reader in self._readers]
        if now == self._before:
            return None
        for (name, _), before, after in zip(self._flags, self._before, now, strict=True):
            if before != after:
                return f"{name} was {_told(before)} and is {_told(after)} now"
        return None


def _told(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(type(one).__name__ for one in value) or "none"
    return str(value)


def _readable(reader: Any) -> bool:
    """Not every build has all of them."""
    if reader is None:
        return False
    try:
        reader()
    except (RuntimeError, AttributeError, AssertionError, TypeError):
        return False
    return True


def _modes() -> tuple[Any, ...]:
    count = torch._C._len_torch_function_stack()
    return tuple(torch._C._get_function_stack_at(index) for index in range(count)) if count else ()
