"""Everything that a training step can leave behind, as {place: contents}: what the judge compares.

Walks from the model, the optimizers and the step function through attributes, containers, closures and the globals that
they name. Tensors are told by dtype, shape, stride and a digest of their bytes; nothing is rounded.
"""

from __future__ import annotations

import collections
import enum
import functools
import hashlib
import random
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy
import torch
from torch import nn

PLAIN = (type(None), bool, int, float, complex, str, bytes, enum.Enum, torch.dtype, torch.device, torch.Size, range)
OWN = "tests."
"""Modules whose functions, classes and globals are a user's: others' are no training state."""
MODULE_KEYS = set(vars(nn.Module())) | {"training"}
HOOK_KEYS = [key for key in MODULE_KEYS if "hooks" in key]
OPTIMIZER_KEYS = set(vars(torch.optim.SGD([torch.zeros(1)], lr=1.0))) | {"_opt_called", "_step_count", "_is_patched"}


def bits(value: torch.Tensor) -> str:
    """What a tensor holds, in one line; a FakeTensor says so, since no user may ever find one."""
    if type(value).__name__ == "FakeTensor" or value.device.type == "meta":
        return f"a {type(value).__name__} on {value.device} without contents"
    if type(value).__name__ == "DTensor":
        value = value.to_local()
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    stride = tuple(plain.stride()) if plain.layout == torch.strided else None
    plain = (plain.to_dense() if plain.layout != torch.strided else plain).contiguous().reshape(-1)
    data = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    digest = hashlib.sha256(data).hexdigest()[:16]
    shown = f" = {plain[0].item():.9g}" if plain.numel() == 1 and plain.is_floating_point() else ""
    return f"{str(value.dtype)[6:]}{list(value.shape)} strides {stride} {digest}{shown}"


class Walk:
    """One walk over objects: every mutable object is entered once, so that cycles end."""

    def __init__(self) -> None:
        self.entered: dict[int, Any] = {}

    def leaves(self, name: str, value: Any) -> Iterator[tuple[str, str]]:
        """(place, contents) of all that `value` leads to."""
        if isinstance(value, torch.Tensor):
            yield name, bits(value)
            if type(value) in (torch.Tensor, nn.Parameter) and vars(value) and id(value) not in self.entered:
                self.entered[id(value)] = value
                for key in sorted(vars(value)):
                    yield from self.leaves(f"{name}.{key}", vars(value)[key])
            return
        if isinstance(value, PLAIN):
            yield name, f"{type(value).__name__} {value!r}"
            return
        if not isinstance(value, tuple):
            if id(value) in self.entered:
                return
            self.entered[id(value)] = value
        yield name, f"a {type(value).__name__}"
        for part, inner in self.parts(value):
            yield from self.leaves(f"{name}{part}", inner)

    def parts(self, value: Any) -> Iterator[tuple[str, Any]]:
        """What an object is made of, named as a user would write it."""
        if isinstance(value, numpy.ndarray):
            yield ".bytes", f"{value.dtype}{value.shape} {hashlib.sha256(value.tobytes()).hexdigest()[:16]}"
        elif isinstance(value, numpy.generic):
            yield ".value", repr(value)
        elif isinstance(value, torch.Generator):
            yield ".state", value.get_state()
        elif isinstance(value, random.Random):
            yield ".state", str(value.getstate())
        elif isinstance(value, numpy.random.Generator):
            yield ".state", str(value.bit_generator.state)
        elif isinstance(value, Mapping):
            for index, (key, item) in enumerate(value.items()):
                told = isinstance(key, PLAIN) and not (isinstance(key, int) and key > 10**9)  # an id() says nothing
                yield f"[{key!r}]" if told else f"[key {index}]", item
            yield from self.attributes(value)
        elif isinstance(value, list | tuple | collections.deque):
            yield from ((f"[{index}]", item) for index, item in enumerate(value))
        elif isinstance(value, set | frozenset):
            yield ".members", str(sorted(map(repr, (v for v in value if isinstance(v, PLAIN)))))
        elif isinstance(value, types.FunctionType):
            yield from self.of_function(value)
        elif isinstance(value, types.MethodType):
            yield "", value.__self__
        elif isinstance(value, functools.partial):
            yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
        elif isinstance(value, types.GeneratorType):
            if value.gi_frame is not None:
                yield ".at", value.gi_frame.f_lasti
                yield ".locals", dict(value.gi_frame.f_locals)
        elif type(value).__module__ in ("builtins", "itertools") and hasattr(value, "__next__"):
            yield ".next", value.__reduce__()[1:]
        elif isinstance(value, type):
            if value.__module__.startswith(OWN):
                held = {k: v for k, v in vars(value).items() if not k.startswith("__") and not callable(v)}
                yield from ((f".{k}", v) for k, v in held.items() if type(v).__name__ not in _DESCRIPTORS)
        elif not isinstance(value, types.ModuleType | types.BuiltinFunctionType):
            yield from self.attributes(value)

    def attributes(self, value: Any) -> Iterator[tuple[str, Any]]:
        """Attributes of an object, those in slots too; of modules and optimizers without torch's own bookkeeping."""
        held = dict(getattr(value, "__dict__", {}))
        for kind in type(value).__mro__:
            slots = vars(kind).get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, slot) and slot not in ("__dict__", "__weakref__"):
                    held[slot] = getattr(value, slot)
        if isinstance(value, nn.Module):
            yield ".training", value.training
            for key in ("_parameters", "_buffers", "_modules"):  # by getattr: a ScriptModule has them elsewhere
                yield from ((f".{name}", inner) for name, inner in getattr(value, key).items())
            yield from ((f".{key}", list(held[key].values())) for key in HOOK_KEYS if held.get(key))
            held = {key: item for key, item in held.items() if key not in MODULE_KEYS}
        elif isinstance(value, torch.optim.Optimizer):
            yield from self.of_optimizer(value)
            held = {key: item for key, item in held.items() if key not in OPTIMIZER_KEYS}
        for key in sorted(held):
            yield f".{key}", held[key]
        if type(value).__module__.startswith(OWN):
            yield ".__class__", type(value)

    def of_optimizer(self, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any]]:
        """State and groups; parameters by their place in the groups."""
        places: dict[int, str] = {}
        for g, group in enumerate(optimizer.param_groups):
            places |= {id(p): f"param_groups[{g}][{i}]" for i, p in enumerate(group["params"])}
            yield f".param_groups[{g}]", {key: item for key, item in group.items() if key != "params"}
            yield f".param_groups[{g}].params", [tuple(p.shape) for p in group["params"]]
        for index, (parameter, state) in enumerate(optimizer.state.items()):
            yield f".state[{places.get(id(parameter), f'of something else, {index}')}]", state

    def of_function(self, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        """Closure, defaults and attributes, and the globals that the code of a user's function names."""
        if not function.__module__.startswith(OWN):
            return
        names: tuple[str, ...] = function.__code__.co_freevars
        for name, cell in zip(names, function.__closure__ or (), strict=True):
            try:
                yield f".{name}", cell.cell_contents
            except ValueError:
                continue  # not assigned yet
        yield from ((f".default {i}", item) for i, item in enumerate(function.__defaults__ or ()))
        yield from ((f".{key}", item) for key, item in vars(function).items())
        for name in sorted(_named(function.__code__)):
            found = function.__globals__.get(name)
            foreign = getattr(found, "__module__", OWN) if callable(found) else OWN
            if found is not None and not isinstance(found, types.ModuleType) and str(foreign).startswith(OWN):
                yield f".global {name}", found


_DESCRIPTORS = ("property", "member_descriptor", "getset_descriptor", "staticmethod", "classmethod", "_abc_data")


def _named(code: types.CodeType) -> set[str]:
    """Global names that code uses, that of functions inside it too."""
    inner = [_named(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    return set(code.co_names).union(*inner)


SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "grad mode": (torch.is_grad_enabled, lambda on: torch._C._set_grad_enabled(on)),
    "autocast": (lambda: torch.is_autocast_enabled("cpu"), lambda on: torch.set_autocast_enabled("cpu", on)),
    "autocast dtype": (lambda: torch.get_autocast_dtype("cpu"), lambda kind: torch.set_autocast_dtype("cpu", kind)),
    "deterministic": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "flash attention": (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    "oneDNN": (lambda: torch.backends.mkldnn.enabled, lambda on: torch._C._set_mkldnn_enabled(on)),
    "anomaly": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "multithreading": (torch.autograd.is_multithreading_enabled, lambda on: torch._C._set_multithreading_enabled(on)),
}
"""Global switches of torch: name -> how it is read, how it is set."""


def settings() -> dict[str, Any]:
    return {name: read() for name, (read, _) in SETTINGS.items()}


def restore(kept: Mapping[str, Any]) -> None:
    for name, value in kept.items():
        if SETTINGS[name][0]() != value:
            SETTINGS[name][1](value)


def random_states() -> dict[str, str]:
    return {
        "random state of torch": bits(torch.get_rng_state()),
        "random state of NumPy": hashlib.sha256(repr(numpy.random.get_state()).encode()).hexdigest()[:16],
        "random state of Python": hashlib.sha256(repr(random.getstate()).encode()).hexdigest()[:16],
    }


def gradients_and_ties(model: nn.Module) -> Iterator[tuple[str, str]]:
    """`.grad` and requires_grad of every parameter; which parameters share memory."""
    storages: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        yield f"gradient of {name}", "None" if parameter.grad is None else bits(parameter.grad)
        yield f"requires_grad of {name}", f"{parameter.requires_grad}, leaf {parameter.is_leaf}"
        if isinstance(parameter, nn.Parameter) and type(parameter.data) is torch.Tensor and parameter.numel():
            first = storages.setdefault(parameter.untyped_storage().data_ptr(), name)
            yield f"memory of {name}", f"that of {first}"


def everything(roots: Mapping[str, Any], ignore: str = "") -> dict[str, str]:
    """{place: contents} of all that the `roots` lead to, and of the global state; `ignore`: a pattern of places."""
    walk = Walk()
    found: dict[str, str] = {}
    for name, root in roots.items():
        found |= dict(walk.leaves(name, root))
        if isinstance(root, nn.Module):
            found |= dict(gradients_and_ties(root))
    found |= random_states() | {name: str(value) for name, value in settings().items()}
    return {name: value for name, value in found.items() if not (ignore and re.search(ignore, name))}
