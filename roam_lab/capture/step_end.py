"""Checks and changes at the end of a traced step: of its result, its batch, and tensors that it has rebound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from roam_lab.capture.inputs import batch_leaves
from roam_lab.capture.nodes import storage_key
from roam_lab.capture.provenance import own_nodes
from roam_lab.capture.sources.python_values import Symbolic
from roam_lab.capture.sources.rebinding import Rebinding
from roam_lab.capture.torch_internals import pytree
from roam_lab.capture.trace_inputs import TraceInputs
from roam_lab.errors import CaptureError, FirstStepError


class StepEnd:
    """The end of one traced step. It is made when all inputs but the optimizers' state have been entered."""

    def __init__(self, model: torch.nn.Module, inputs: TraceInputs, rebinding: Rebinding) -> None:
        self._model, self._inputs, self._rebinding = model, inputs, rebinding
        self._tensors = inputs.tensors
        self._shapes = {name: tensor.shape for name, tensor in inputs.tensors.items()}

    def check(self, result: Any, batch: Any) -> None:
        """Raise CaptureError where the step changes its batch, leaves a gradient on it, or returns nothing that it
        computes."""
        after, before = batch_leaves(batch), self._inputs.leaves
        if len(after) != len(before) or any(one is not other for one, other in zip(after, before, strict=True)):
            raise CaptureError(
                "the step changes its batch (takes entries out, or puts others in), which a planned step would not do "
                "again; let it work on a copy, such as dict(batch)"
            )
        attribute = self._inputs.changed_attribute()
        if attribute is not None:
            raise CaptureError(
                f"the step sets the attribute .{attribute} of a tensor of its batch, which a planned step would not do "
                "again; keep it elsewhere"
            )
        if any(isinstance(one, torch.Tensor) and one.is_leaf and one.grad is not None for one in before):
            raise CaptureError(
                "the step leaves a gradient on a tensor of its batch, which a planned step does not make; take it "
                "inside the step (torch.autograd.grad), or give the batch without requires_grad"
            )
        if not any(isinstance(leaf, torch.Tensor | Symbolic) for leaf in pytree.tree_leaves(result)):
            raise CaptureError(
                f"the step returns no tensor and no number that it computes ({type(result).__name__}); return the "
                "loss, or a tuple or dict with it"
            )

    def write_back(self) -> None:
        """Where the step has bound a new tensor to the name of a buffer or of optimizer state, copy it into the old
        one.

        Raises CaptureError where shape or dtype differ, FirstStepError where the step has resized the old one, or has
        added to state that was there: the next step begins with more.
        """
        grown = self._inputs.grown_state()
        if grown is not None:
            raise FirstStepError(f"the step adds {grown} to what its optimizer keeps; run one eager step before")
        for name, shape in self._shapes.items():
            if self._tensors[name].shape != shape:
                raise FirstStepError(
                    f"the step gives {name} the shape {tuple(self._tensors[name].shape)}, which was {tuple(shape)}; "
                    "run one eager step before"
                )
        self._rebinding.check(self._holders())
        rebound = [one for one in self._names() if one[1] is not one[2]]
        self._check_apart(rebound)
        for name, before, now in rebound:
            _write(name, before, now)

    def _names(self) -> Iterator[tuple[str, torch.Tensor, Any]]:
        """Each buffer and each tensor of optimizer state: its name, what it was before the step, what it is now."""
        for name, buffer in self._model.named_buffers(remove_duplicate=False):
            if name in self._tensors:
                yield f"buffer {name}", self._tensors[name], buffer
        for found, value in self._inputs.state:
            yield str(found), value, self._inputs.present_state(found)

    def _check_apart(self, rebound: Iterable[tuple[str, torch.Tensor, Any]]) -> None:
        """Raise CaptureError where a name is bound to what another one holds, too: from then on they are one tensor,
        and copies would be two."""
        owners: dict[int, set[str]] = {}
        own = [(name, self._tensors[name]) for name in self._inputs.parameters]
        for name, tensor in (*own, *((name, before) for name, before, _ in self._names())):
            owners.setdefault(storage_key(tensor), set()).add(name)
        for name, _, now in rebound:
            if isinstance(now, torch.Tensor):
                holders = owners.setdefault(storage_key(now), {name})
                if name not in holders:
                    raise CaptureError(
                        f"the step binds {name} to the tensor that is also {min(holders)}, so that both are one from "
                        "then on; copy it instead (copy_ under torch.no_grad(), or clone)"
                    )

    def _holders(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from self._model.named_parameters()
        yield from (
            (name, self._tensors[name]) for name in self._inputs.parameters if name not in self._inputs.of_model
        )
        for name, buffer in self._model.named_buffers():
            yield f"buffer {name}", buffer
        for found, _ in self._inputs.state:
            present = self._inputs.present_state(found)
            if isinstance(present, torch.Tensor):
                yield str(found), present


def _write(name: str, place: torch.Tensor, value: Any) -> None:
    """Copy `value` into the tensor `place`. Raises CaptureError where shape or dtype differ."""
    if not isinstance(value, torch.Tensor) or value.shape != place.shape or value.dtype != place.dtype:
        shown = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise CaptureError(
            f"the step binds {shown} to {name}, which was {tuple(place.shape)} {place.dtype}; keep its shape and "
            "type, and write it in place (copy_)"
        )
    with torch.no_grad(), own_nodes():
        place.copy_(value)
