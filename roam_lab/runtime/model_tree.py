"""An index of a model's modules and of a step's tensors, which every step needs; it is built again only when a module,
or a parameter of an optimizer, is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from typing import Any

import torch

from roam_lab.capture import OptimizerOrSeveral, optimizers_of
from roam_lab.capture.trained import held_beside
from roam_lab.runtime.identity import no_view


class ModelTree:
    """The index. `walks`: how often the modules were walked to build it.

    `optimizer`: whose parameters are in the index, too, where the model does not hold them (`held_beside`).
    """

    def __init__(self, model: torch.nn.Module, optimizer: OptimizerOrSeveral = ()) -> None:
        self._model, self._optimizers = model, optimizers_of(optimizer) if optimizer else ()
        self.walks = 0
        self._walk()

    def _walk(self) -> None:
        self.walks += 1
        self._modules = list(self._model.modules())
        self._members = set(self._modules)
        self._children = [
            (module._modules, list(module._modules.values())) for module in self._modules if module._modules
        ]
        self._parameters = [module._parameters for module in self._modules if module._parameters]
        self._owners: dict[str, tuple[dict[str, Any], str]] = {}
        self._held = self._held_now()
        self._beside = held_beside(self._model, self._optimizers)

    def _held_now(self) -> list[torch.Tensor]:
        return [one for optimizer in self._optimizers for group in optimizer.param_groups for one in group["params"]]

    def refresh(self) -> None:
        """Build the index again if a module, or a parameter of an optimizer, was added, removed or replaced since."""
        held = self._held_now()
        same = len(held) == len(self._held) and all(map(is_, held, self._held))
        if not same or not all([*held.values()] == children for held, children in self._children):
            self._walk()

    def holds(self, module: torch.nn.Module) -> bool:
        """Whether `module` is one of the model's modules (as of `refresh`)."""
        return module in self._members

    def modes(self) -> tuple[Any, ...]:
        """What a user may switch between steps: `training` of every module, `requires_grad` of every parameter (as of
        `refresh`)."""
        training = tuple([module.training for module in self._modules])
        trainable = tuple([p.requires_grad for held in self._parameters for p in held.values() if p is not None])
        trainable += tuple([p.requires_grad for p in self._beside.values()])
        return training, trainable

    def tensor(self, name: str) -> torch.Tensor:
        """The parameter or buffer of this name (as of `refresh`). Raises KeyError when it is gone."""
        held, key = self.owner(name)
        found = held[key]
        if found is None:
            raise KeyError(name)
        tensor: torch.Tensor = found
        return tensor

    def leave(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """Set the gradients of the parameters of these names."""
        for name, one in gradients.items():
            self.tensor(name).grad = no_view(one)

    def switch(self, needs: Mapping[str, bool]) -> None:
        """Set `requires_grad` of the parameters and buffers of these names."""
        for name, one in needs.items():
            self.tensor(name).requires_grad_(one)

    def parameters(self) -> list[torch.Tensor]:
        """Every parameter (as of `refresh`), one that is shared more than once."""
        own = [one for held in self._parameters for one in held.values() if one is not None]
        return [*own, *self._beside.values()]

    def owner(self, name: str) -> tuple[dict[str, Any], str]:
        """The dict that holds the parameter or buffer of this name, and its key there. Raises KeyError."""
        if name not in self._owners:
            self._owners[name] = self._owner(name)
        return self._owners[name]

    def _owner(self, name: str) -> tuple[dict[str, Any], str]:
        if name in self._beside:
            return self._beside, name
        path, _, key = name.rpartition(".")
        try:
            module = self._model.get_submodule(path)
        except AttributeError:
            self._beside |= held_beside(self._model, self._optimizers)  # the model has had a parameter replaced
            if name not in self._beside:
                raise KeyError(name) from None
            return self._beside, name
        held: dict[str, Any] = module._parameters if key in module._parameters else module._buffers
        if key not in held:
            raise KeyError(name)
        return held, key
