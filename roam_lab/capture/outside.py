"""Outside tensors: real tensors that a step uses and that are none of its inputs, such as an EMA copy, or a mask that a
module holds."""

from __future__ import annotations

from typing import Any

import torch

from roam_lab.capture.fake_mode import Fakes
from roam_lab.capture.literals import LIFTS
from roam_lab.capture.torch_internals import (
    FakeTensor,
    get_proxy_mode,
    has_proxy_slot,
    pytree,
    track_tensor_tree,
    untracked,
)
from roam_lab.errors import CaptureError


class OutsideTensors:
    """The outside tensors of one trace. Each becomes one constant of the graph, which ops read and write in place.

    (Fake mode alone would really run an in-place op on a real tensor.)
    """

    def __init__(self, fakes: Fakes) -> None:
        self._fakes = fakes
        self.met: dict[int, torch.Tensor] = {}

    def swap(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments of an op, with real tensors and fakes that the tracer does not know replaced by known fakes."""
        if func in LIFTS:
            return args, kwargs
        mode = get_proxy_mode()
        tracer: Any = None if mode is None else mode.tracer
        tensors = [leaf for leaf in pytree.arg_tree_leaves(*args, **kwargs) if isinstance(leaf, torch.Tensor)]
        if tracer is None or not any(_is_real(one) or not has_proxy_slot(one, tracer) for one in tensors):
            return args, kwargs
        swapped: tuple[Any, Any] = pytree.tree_map_only(
            torch.Tensor, lambda one: self._known(self._constant(one), tracer), (args, kwargs)
        )
        return swapped

    def _known(self, tensor: torch.Tensor, tracer: Any) -> torch.Tensor:
        """The tensor, if the tracer knows it, or the same view of a tensor that it knows: `as_subclass` and its like
        make views without an op. Raises CaptureError where there is none."""
        if has_proxy_slot(tensor, tracer):
            return tensor
        storage = tensor.untyped_storage()._cdata
        for known in list(tracer.tensor_tracker):
            if known.untyped_storage()._cdata == storage and known.dtype == tensor.dtype:
                with untracked():
                    mode = get_proxy_mode()
                    assert mode is not None
                    with mode:
                        view: torch.Tensor = torch.ops.aten.as_strided.default(
                            known, list(tensor.shape), list(tensor.stride()), int(tensor.storage_offset())
                        )
                return view
        raise CaptureError(
            f"the step uses a tensor of shape {tuple(tensor.shape)} that capture has not seen being made; make it with "
            "torch's ops inside the step, or keep it as a buffer"
        )

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
        """(module, name, tensor) of those that are plain attributes of the model's modules."""
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
        """Remove fake gradients from real tensors. Returns the tensors that had one."""
        reached = [t for t in self.met.values() if t.is_leaf and isinstance(t.grad, FakeTensor)]
        for tensor in reached:
            tensor.grad = None
        return reached


def _is_real(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not isinstance(value, FakeTensor)
