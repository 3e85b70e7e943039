"""What a step reaches beside its inputs: real tensors (an EMA copy, a mask that a module holds) and Python objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode, track_tensor_tree
from torch.utils import _pytree as pytree

from roam_lab.capture.fake_mode import Fakes
from roam_lab.errors import CaptureError, FirstStepError

_LIFTS = {torch.ops.aten.lift_fresh.default, torch.ops.aten.lift.default}
_MOST_ENTRIES = 10_000
"""Longer lists and dicts are data, not state, and are not copied."""


class OutsideTensors:
    """Real tensors met while tracing: each becomes one constant of the graph, read and written where it lies.

    Fake mode alone would run an in-place op on a real tensor for real.
    """

    def __init__(self, fakes: Fakes) -> None:
        self._fakes = fakes
        self.met: dict[int, torch.Tensor] = {}

    def swap(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments of an op with fakes, known to the tracer, in place of real tensors."""
        if func in _LIFTS or not any(_is_real(leaf) for leaf in pytree.arg_tree_leaves(*args, **kwargs)):
            return args, kwargs
        swapped: tuple[Any, Any] = pytree.tree_map_only(torch.Tensor, self._constant, (args, kwargs))
        return swapped

    def _constant(self, tensor: torch.Tensor) -> torch.Tensor:
        if not _is_real(tensor):
            return tensor
        twin = self._fakes(tensor)
        if id(tensor) not in self.met:
            self.met[id(tensor)] = tensor
            mode = get_proxy_mode()
            assert mode is not None
            tracer: Any = mode.tracer
            name = f"_outside{len(self.met)}"
            setattr(tracer.root, name, tensor)
            track_tensor_tree(twin, tracer.create_proxy("get_attr", name, (), {}), constant=None, tracer=tracer)
        return twin

    def held(self, model: torch.nn.Module) -> tuple[tuple[torch.nn.Module, str, torch.Tensor], ...]:
        """Those that are plain attributes of the model's modules."""
        return tuple(
            (module, name, value)
            for module in model.modules()
            for name, value in vars(module).items()
            if id(value) in self.met
        )

    def check_gradients(self) -> None:
        """Raises CaptureError when backward reached a parameter that is not the model's."""
        reached = self.drop_gradients()
        if reached:
            raise CaptureError(
                f"the loss has a gradient for a tensor of shape {tuple(reached[0].shape)} outside the model; put it "
                "into the model (a module that holds both), or compute that part under torch.no_grad()"
            )

    def drop_gradients(self) -> list[torch.Tensor]:
        """Take the fake gradients off real tensors again; those that had one."""
        reached = [t for t in self.met.values() if t.is_leaf and isinstance(t.grad, FakeTensor)]
        for tensor in reached:
            tensor.grad = None
        return reached


class PythonState:
    """The attributes of the model's modules and of the objects that the step's functions refer to, and the lists and
    dicts in them, as they were before tracing; `restore` takes the fake tensors out again."""

    def __init__(self, model: torch.nn.Module, step: Callable[..., Any]) -> None:
        self._seen: set[int] = set()
        self._saved: list[tuple[Any, Any]] = []
        self._owners: list[tuple[Any, dict[str, Any]]] = []
        for module in model.modules():
            self._own(module)
        for value in _reached(step):
            for owner in value.modules() if isinstance(value, torch.nn.Module) else [value]:
                self._own(owner) if hasattr(owner, "__dict__") else self._save(owner)

    def _own(self, owner: Any) -> None:
        self._owners.append((owner, dict(vars(owner))))
        self._save(vars(owner))

    def _save(self, container: Any) -> None:
        if id(container) in self._seen or not isinstance(container, dict | list | set):
            return
        if len(container) > _MOST_ENTRIES:
            return
        self._seen.add(id(container))
        self._saved.append((container, container.copy()))
        for value in container.values() if isinstance(container, dict) else container:
            self._save(value)

    def restore(self) -> None:
        """Put everything back, in place."""
        for container, before in self._saved:
            if not _same(container, before):
                container.clear()
                container.extend(before) if isinstance(container, list) else container.update(before)

    def check(self, outside: OutsideTensors) -> None:
        """Raises CaptureError where the step keeps state in an attribute that it binds anew: no graph can do that."""
        for owner, before in self._owners:
            for name, value in vars(owner).items():
                old = before.get(name)
                if not isinstance(value, FakeTensor) or value is old:
                    continue
                holder = f"{type(owner).__name__}.{name}"
                if isinstance(old, torch.Tensor) and id(old) in outside.met:
                    raise CaptureError(
                        f"the step reads the tensor {holder} and binds a new one to it; write it in place (copy_), or "
                        "make it a buffer (register_buffer)"
                    )
                if not isinstance(owner, torch.nn.Module) and old is None:
                    raise FirstStepError(
                        f"the step makes the tensor {holder} in its first run and keeps it; run one eager step before"
                    )


def _same(left: Any, right: Any) -> bool:
    """The very same objects, in order."""
    if isinstance(left, dict) and not _same(list(left.values()), list(right.values())):
        return False
    return len(left) == len(right) and all(a is b for a, b in zip(left, right, strict=True))


def _is_real(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not isinstance(value, FakeTensor)


def _reached(step: Callable[..., Any]) -> Iterator[Any]:
    """Objects that a function refers to by its closure and globals, through further functions of the user's."""
    waiting: list[Any] = [step]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, ModuleType | type | torch.Tensor | torch.optim.Optimizer):
            continue
        seen.add(id(value))
        if isinstance(value, MethodType):
            waiting += [value.__self__, value.__func__]
        elif isinstance(value, FunctionType):
            if not (value.__module__ or "").startswith("torch."):  # None: code that was made by exec
                names = inspect.getclosurevars(value)
                waiting += [*names.nonlocals.values(), *names.globals.values()]
        elif isinstance(value, dict | list | set) or hasattr(value, "__dict__"):
            yield value
