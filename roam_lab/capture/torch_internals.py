"""Every private name of torch that roam-lab uses (outside of `distributed/`), each with what it is for; no other file
imports one.

With a torch that lacks one of them, importing this file fails, and not a step in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import torch
from torch._dynamo import OptimizedModule
from torch._dynamo.source import ConstantSource
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.fx import graph_module
from torch.fx.experimental import symbolic_shapes
from torch.fx.experimental.proxy_tensor import (
    fetch_sym_proxy,
    get_proxy_mode,
    get_proxy_slot,
    has_proxy_slot,
    make_fx,
    track_tensor_tree,
)
from torch.fx.experimental.symbolic_shapes import DimDynamic, GuardOnDataDependentSymNode, ShapeEnv
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes, _get_current_dispatch_mode_stack
from torch.utils._sympy import functions as _sympy_functions
from torch.utils._sympy.printers import PythonPrinter
from torch.utils.data.dataloader import _BaseDataLoaderIter

from roam_lab.capture.replaced import replaced

__all__ = [
    "ConstantSource",
    "DataDependentOutputException",
    "DimDynamic",
    "DynamicOutputShapeException",
    "FakeTensor",
    "FakeTensorMode",
    "GuardOnDataDependentSymNode",
    "LoaderIterator",
    "OpOverload",
    "OptimizedModule",
    "PythonPrinter",
    "ShapeEnv",
    "TorchDispatchMode",
    "UnsupportedOperatorException",
    "allocate_as_before",
    "allocate_from",
    "autograd_node",
    "below_autograd",
    "boxed_call",
    "device_waits",
    "dispatch_modes",
    "fake_of",
    "fetch_sym_proxy",
    "function_modes",
    "get_proxy_mode",
    "get_proxy_slot",
    "has_kernel",
    "has_proxy_slot",
    "in_backward",
    "little_kept_of_traces",
    "make_fx",
    "parameters_replaced",
    "pytree",
    "references",
    "saved_tensors_hooks",
    "scripted_calls",
    "sequence_number",
    "setting",
    "storage_at",
    "sympy_functions",
    "tensor_data",
    "tensor_requires_grad",
    "track_tensor_tree",
    "untracked",
    "with_negative_bit",
    "without_modes",
    "without_overrides",
]

_C = torch._C

# makes the current CUDA device wait for a number of its cycles
device_waits: Callable[[int], None] = torch.cuda._sleep

# the iterator of a DataLoader
LoaderIterator = _BaseDataLoaderIter

# the descriptors of `tensor.data` and `tensor.requires_grad`
tensor_data: Any = _C.TensorBase.data
tensor_requires_grad: Any = _C.TensorBase.requires_grad

# classes whose `__call__` runs TorchScript
scripted_calls: tuple[Any, ...] = (_C.ScriptFunction, _C.ScriptMethod)

# a context in which a module's parameters and buffers are replaced by other tensors
parameters_replaced = _reparametrize_module

# a context in which no dispatch mode is active
without_modes: Callable[[], AbstractContextManager[Any]] = _disable_current_modes

# a context in which __torch_function__ of tensor subclasses is not called
without_overrides: Callable[[], AbstractContextManager[Any]] = _C.DisableTorchFunction

# a storage at an address that it does not own: (address, device, bytes)
storage_at: Callable[[int, torch.device, int], Any] = _C._construct_storage_from_data_pointer

# a view whose values are negated when they are read
with_negative_bit: Callable[[torch.Tensor], torch.Tensor] = torch._neg_view


@contextmanager
def below_autograd() -> Iterator[None]:
    """A context in which ops call their kernels directly: autograd records nothing, and autocast changes no dtype."""
    with torch.no_grad(), _C._AutoDispatchBelowAutograd(), _C._DisableAutocast():
        yield


@contextmanager
def untracked() -> Iterator[None]:
    """A context in which autograd notices nothing, neither views nor writes (version counters)."""
    keys = _C.DispatchKeySet(_C.DispatchKey.AutogradCPU) | _C.DispatchKeySet(_C.DispatchKey.AutogradCUDA)
    with torch.no_grad(), _C._ExcludeDispatchKeyGuard(keys):
        yield


def boxed_call(op: OpOverload) -> Callable[..., Any]:
    """The function that `op(...)` calls for an op that is not implemented in Python."""
    found: Callable[..., Any] = op._op
    return found


def allocate_from(pool: tuple[int, int], device: int) -> None:
    """From now on this thread allocates from the `torch.cuda.MemPool` of this id. The same as
    `torch.cuda.use_mem_pool`, which takes 20 us."""
    _C._cuda_beginAllocateCurrentThreadToPool(device, pool)


def allocate_as_before(pool: tuple[int, int], device: int) -> None:
    """The end of `allocate_from`."""
    _C._cuda_endAllocateToPool(device, pool)
    _C._cuda_releasePool(device, pool)


def end_failed_capture(pool: tuple[int, int], device: int) -> None:
    """Clean up after a failed CUDA graph capture: torch 2.11 (2.14 does not) otherwise goes on allocating from the
    capture's pool, and aborts the process when that memory is freed."""
    with suppress(RuntimeError):  # it has ended
        _C._cuda_endAllocateToPool(device, pool)
        _C._cuda_releasePool(device, pool)


def has_kernel(name: str, key: str) -> bool:
    """Whether the op of this name ("aten::add.Tensor") has a kernel of its own for a dispatch key ("CPU")."""
    return bool(_C._dispatch_has_kernel_for_dispatch_key(name, key))


@contextmanager
def little_kept_of_traces() -> Iterator[None]:
    """A context for tracing in which torch keeps less for the life of the process.

    The code of traces is not kept, and the cache of fake results is emptied beyond a limit. Nor does torch look up the
    source line that makes a symbol: that would load torch.export, the compiler's cache and networkx, which take a
    second and 17 MiB.
    """
    files = {symbolic_shapes.__file__, torch.__file__}
    with replaced(
        [
            (symbolic_shapes, "uninteresting_files", lambda: files),
            (graph_module._loader, "cache", lambda source, *_: "<traced by roam-lab>"),
        ]
    ):
        yield
    if len(FakeTensorMode.cache) > _MOST_KNOWN_OF_FAKES:
        FakeTensorMode.cache_clear()


_MOST_KNOWN_OF_FAKES = 20_000

# the functions in conditions on symbols that sympy itself does not have, by name
sympy_functions: dict[str, Any] = {
    name: getattr(_sympy_functions, name)
    for name in (
        "FloatPow", "FloatTrueDiv", "IntTrueDiv", "PowByNatural", "ToFloat", "TruncToInt", "TruncToFloat", "FloorDiv",
        "CeilToInt", "FloorToInt", "PythonMod", "Mod", "Max", "Min",
    )
    if hasattr(_sympy_functions, name)
}  # fmt: skip


def fake_of(elements: torch.Tensor, mode: FakeTensorMode, device: torch.device) -> torch.Tensor:
    """A fake tensor of `mode` on `device`, made of `elements`, a tensor on the meta device."""
    return FakeTensor(mode, elements, device)


def autograd_node() -> Any:
    """The node of autograd's graph that is running; None outside of a backward pass."""
    return _C._current_autograd_node()


def in_backward() -> bool:
    """Whether this thread is running a backward pass."""
    return bool(_C._current_graph_task_id() != -1)


def sequence_number() -> int:
    """The sequence number of the next node of autograd's graph."""
    return int(_C._autograd._get_sequence_nr())


def references(tensor: torch.Tensor, storage: torch.UntypedStorage) -> tuple[int, int]:
    """(C++ references to the tensor, to its storage)."""
    return int(tensor._use_count()), int(_C._storage_Use_Count(storage._cdata))  # type: ignore[attr-defined]


def function_modes() -> tuple[Any, ...]:
    """The active modes with __torch_function__, such as a default device."""
    return tuple(_C._get_function_stack_at(index) for index in range(_C._len_torch_function_stack()))


def dispatch_modes() -> tuple[Any, ...]:
    """The active modes with __torch_dispatch__, such as a counter of operations."""
    return tuple(_get_current_dispatch_mode_stack()) if _C._len_torch_dispatch_stack() else ()


def saved_tensors_hooks() -> Any:
    """The active hooks of `torch.autograd.graph.saved_tensors_hooks`, a pair of functions; None where there are
    none."""
    return _C._autograd._top_saved_tensors_default_hooks(False)


def setting(name: str) -> Callable[[], Any] | None:
    """The function `torch._C.<name>`, which reads a setting of the process; None where this torch has none."""
    found: Callable[[], Any] | None = getattr(_C, name, None) or getattr(_C._autograd, name, None)
    return found
