"""The parameters of a training step: the model's, and those that an optimizer holds beside them, such as a loss's."""

from __future__ import annotations

import torch

from roam_lab.capture.inputs import Optimizers, groups_of
from roam_lab.distributed import by_several_ranks
from roam_lab.errors import CaptureError


def held_beside(model: torch.nn.Module, optimizers: Optimizers) -> dict[str, torch.Tensor]:
    """Name -> parameter, for each that an optimizer holds and the model does not: weights of losses, class centres, a
    temperature. The name is its place, `param_groups[1].params[0]`, with several optimizers of the first that holds it.
    """
    seen = {id(p) for p in model.parameters()}
    found: dict[str, torch.Tensor] = {}
    for number, index, group in groups_of(optimizers):
        for position, parameter in enumerate(group["params"]):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                place = f"param_groups[{index}].params[{position}]"
                found[place if len(optimizers) == 1 else f"optimizers[{number}].{place}"] = parameter
    return found


def trained_parameters(model: torch.nn.Module, optimizers: Optimizers) -> dict[str, torch.Tensor]:
    """Name -> parameter: those of `model.named_parameters()`, then those of `held_beside`."""
    return {**dict(model.named_parameters()), **held_beside(model, optimizers)}


def parameter_names(model: torch.nn.Module, optimizers: Optimizers) -> dict[int, str]:
    """id(parameter) -> name, as in `trained_parameters`. Raises CaptureError where the optimizers hold none of a
    model's parameters that are trained, or others beside them while several ranks train the model, and where they hold
    none that is trainable."""
    own = {id(p): p.requires_grad for p in model.parameters()}
    held = [p for _, _, group in groups_of(optimizers) for p in group["params"]]
    foreign = [p for p in held if id(p) not in own]
    none_is_trained = any(own.values()) and len(foreign) == len(held)
    if foreign and (none_is_trained or by_several_ranks(model)):
        raise CaptureError(
            f"the optimizer holds {len(foreign)} parameter(s) that are not the model's, the first of shape "
            f"{tuple(foreign[0].shape)}; build it from this model's parameters() (after any .to() or deepcopy)"
        )
    if not any(p.requires_grad for p in held):
        raise CaptureError("no parameter of the optimizer is trainable; set requires_grad_(True) on some")
    return {id(p): name for name, p in trained_parameters(model, optimizers).items()}
