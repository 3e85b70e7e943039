"""While a step is traced, functions such as `torch.compiler.is_compiling` answer as in eager: False.

Libraries ask whether they are traced or compiled, and then run other ops: an explicit attention mask where eager passes
`is_causal=True`, everything stored where a checkpoint policy would recompute. The graph would not be that of eager.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

import torch

from roam_lab.capture.eager_ways import ways_as_in_eager
from roam_lab.capture.torch_internals import FakeTensor

TORCHS_QUESTIONS = (
    "torch.compiler.is_compiling",
    "torch.compiler.is_dynamo_compiling",
    "torch.compiler.is_exporting",
    "torch._utils.is_compiling",
    "torch._dynamo.external_utils.is_compiling",
    "torch.jit.is_tracing",
    "torch.jit._trace.is_tracing",
    "torch.fx._symbolic_trace.is_fx_tracing",
    "torch.fx._symbolic_trace.is_fx_symbolic_tracing",
    "torch.utils.checkpoint._is_compiling",
    "torch.onnx.is_in_onnx_export",
)
"""Torch's own functions that tell whether code is traced, by module and name. Missing ones are ignored, as releases
differ."""
LIBRARIES_NAMES = frozenset(
    {
        "is_compiling",
        "is_cuda_stream_capturing",
        "is_dynamo_compiling",
        "is_exporting",
        "is_fake_tensor",
        "is_fx_tracing",
        "is_jit_tracing",
        "is_torch_compiling",
        "is_torch_fx_proxy",
        "is_torchdynamo_compiling",
        "is_torchdynamo_exporting",
        "is_tracing",
        "_is_compiling",
        "_is_tracing",
    }
)
"""Names of such functions in other libraries (transformers, diffusers, einops, ...): every function of such a name is
replaced. They look for fake tensors, proxies or modes, or return torch's answer."""


def questions() -> list[FunctionType | str]:
    """The functions that tell whether code is traced: Python functions themselves, others by their full name."""
    found: dict[int, FunctionType | str] = {}
    for full in TORCHS_QUESTIONS:
        home, _, asked = full.rpartition(".")
        function = getattr(sys.modules.get(home), asked, None)
        if callable(function):
            found[id(function)] = function if isinstance(function, FunctionType) else full
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "torch" or not isinstance(getattr(module, "__dict__", None), dict):
            continue
        for asked in LIBRARIES_NAMES & vars(module).keys():
            function = vars(module)[asked]
            if isinstance(function, FunctionType) and function.__module__ == name:
                found[id(function)] = function
    return list(found.values())


@contextmanager
def answered_as_in_eager() -> Iterator[None]:
    """A context in which all of `questions` return False.

    The code of a Python function is exchanged, so that it returns False under every name that it was imported by; a
    function in C is replaced in its module.
    """
    codes: list[tuple[FunctionType, CodeType]] = []
    names: list[tuple[Any, str, Callable[..., Any]]] = []
    try:
        for found in questions():
            if isinstance(found, str):
                home, _, name = found.rpartition(".")
                names.append((sys.modules[home], name, getattr(sys.modules[home], name)))
                setattr(sys.modules[home], name, lambda *_, **__: False)
            else:
                codes.append((found, found.__code__))
                found.__code__ = _no(len(found.__code__.co_freevars))
        with fakes_are_tensors(), ways_as_in_eager():
            yield
    finally:
        for function, code in reversed(codes):
            function.__code__ = code
        for owner, name, original in reversed(names):
            setattr(owner, name, original)


@contextmanager
def fakes_are_tensors() -> Iterator[None]:
    """A context in which torch's lists of the tensor types that multi-tensor ops accept include the fake type, so that
    optimizers choose those ops as they do in eager."""
    lists = [
        getattr(sys.modules.get(name), "_foreach_supported_types", None)
        for name in ("torch.optim.optimizer", "torch.utils._foreach_utils")
    ]
    found = [types for types in lists if isinstance(types, list) and FakeTensor not in types]
    for types in found:
        types.append(FakeTensor)
    try:
        yield
    finally:
        for types in found:
            types.remove(FakeTensor)


@functools.cache
def _no(free: int) -> CodeType:
    """Code that returns False for any arguments, with `free` free variables, as many as the code that it replaces."""
    names = [f"free{index}" for index in range(free)]
    mention = f"({', '.join(names)},) and False" if free else "False"
    source = f"def outer({', '.join(names)}):\n    def no(*_, **__):\n        return {mention}\n    return no"
    made: dict[str, Any] = {}
    exec(compile(source, __file__, "exec"), made)  # ours, which is none of the code that a step runs
    function: FunctionType = made["outer"](*names)
    return function.__code__


@contextmanager
def autocast_cache(enabled: bool) -> Iterator[None]:
    """A context in which autocast caches casts of weights if `enabled`, as in eager; make_fx turns the cache off. The
    casts made in the context are dropped from the cache at its end."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(enabled)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)
        torch.clear_autocast_cache()
