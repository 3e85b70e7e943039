"""Flags: settings of the whole process that decide which kernels run and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch

from roam_lab.capture.torch_internals import function_modes, saved_tensors_hooks, setting

Flag = tuple[str, Callable[[], Any]]

_FLAGS = (
    ("grad mode", torch.is_grad_enabled),
    ("inference mode", torch.is_inference_mode_enabled),
    ("torch.autograd.set_detect_anomaly", torch.is_anomaly_enabled),
    ("autocast's cache", torch.is_autocast_cache_enabled),
    ("torch.use_deterministic_algorithms", torch.are_deterministic_algorithms_enabled),
    ("warn_only of deterministic algorithms", torch.is_deterministic_algorithms_warn_only_enabled),
    ("torch.utils.deterministic.fill_uninitialized_memory", setting("_get_deterministic_fill_uninitialized_memory")),
    ("torch.get_float32_matmul_precision", torch.get_float32_matmul_precision),
    ("torch.get_default_dtype", torch.get_default_dtype),
    ("torch.get_num_threads", torch.get_num_threads),
    ("torch.backends.cudnn.enabled", setting("_get_cudnn_enabled")),
    ("torch.backends.cudnn.benchmark", setting("_get_cudnn_benchmark")),
    ("torch.backends.cudnn.deterministic", setting("_get_cudnn_deterministic")),
    ("torch.backends.cudnn.allow_tf32", setting("_get_cudnn_allow_tf32")),
    ("torch.backends.cuda.matmul.allow_tf32", setting("_get_cublas_allow_tf32")),
    ("reduced precision of float16 products", setting("_get_cublas_allow_fp16_reduced_precision_reduction")),
    ("reduced precision of bfloat16 products", setting("_get_cublas_allow_bf16_reduced_precision_reduction")),
    ("float16 accumulation", setting("_get_cublas_allow_fp16_accumulation")),
    ("torch.backends.mkldnn.enabled", setting("_get_mkldnn_enabled")),
    ("torch.backends.mkldnn.deterministic", setting("_get_mkldnn_deterministic")),
    ("torch.backends.mkldnn.allow_tf32", setting("_get_onednn_allow_tf32")),
    ("torch.backends.nnpack", setting("_get_nnpack_enabled")),
    ("flash attention", setting("_get_flash_sdp_enabled")),
    ("memory-efficient attention", setting("_get_mem_efficient_sdp_enabled")),
    ("plain attention", setting("_get_math_sdp_enabled")),
    ("plain attention's reduced precision", setting("_get_math_sdp_allow_fp16_bf16_reduction")),
    ("cuDNN attention", setting("_get_cudnn_sdp_enabled")),
    ("overrideable attention", setting("_get_overrideable_sdp_enabled")),
    ("the order of attention backends", setting("_get_sdp_priority_order")),
    ("preferred BLAS library", setting("_get_blas_preferred_backend")),
    ("preferred linear algebra library", setting("_get_linalg_preferred_backend")),
    ("active torch functions modes (default device)", setting("_len_torch_function_stack")),
    ("active dispatch modes", setting("_len_torch_dispatch_stack")),
    ("whether tensors may be saved through hooks", setting("_saved_tensors_hooks_is_enabled")),
    ("torch.autograd.graph.saved_tensors_hooks", saved_tensors_hooks),
)


class Flags:
    """The values, at construction, of all flags that this torch has, and of autocast for each of the device types."""

    def __init__(self, device_types: Iterable[str] = ("cpu", "cuda")) -> None:
        self._flags: list[Flag] = [
            (name, reader) for name, reader in _FLAGS if reader is not None and _readable(reader)
        ]
        for kind in sorted({"cpu", "cuda", *device_types} - {"meta"}):
            for name, reader in (
                (f"autocast of {kind}", torch.is_autocast_enabled),
                (f"autocast's dtype of {kind}", torch.get_autocast_dtype),
            ):
                if _readable(partial(reader, kind)):
                    self._flags.append((name, partial(reader, kind)))
        if _readable(function_modes):
            self._flags.append(("active modes (default device)", function_modes))
        self._readers = [reader for _, reader in self._flags]
        self.renew()

    def renew(self) -> None:
        """Take the present values as those to compare with."""
        self._modes = function_modes() if _readable(function_modes) else ()  # keeps them, so that ids stay true
        self._before = [reader() for reader in self._readers]

    def texts(self) -> list[tuple[str, str]]:
        """(name, value as text) of each flag."""
        return [(name, _text(value)) for (name, _), value in zip(self._flags, self._before, strict=True)]

    def check(self) -> str | None:
        """A sentence on the first flag that differs now; None where none does."""
        now = [reader() for reader in self._readers]
        if now == self._before:
            return None
        for (name, _), before, after in zip(self._flags, self._before, now, strict=True):
            if before != after:
                return f"{name} was {_text(before)} and is {_text(after)} now"
        return None


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(type(one).__name__ for one in value) or "none"
    return str(value)


def _readable(reader: Callable[[], Any]) -> bool:
    """Whether this build of torch has the flag."""
    try:
        reader()
    except (RuntimeError, AttributeError, AssertionError, TypeError):
        return False
    return True
