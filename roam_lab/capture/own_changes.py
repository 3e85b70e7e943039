"""Changes of Python objects that are due to tracing itself (fakes in place of tensors, notes of calls) and are not to
be taken for changes that the step makes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch

from roam_lab.capture.fake_mode import Fakes
from roam_lab.capture.inputs import groups_of
from roam_lab.capture.sources.optimizers import holds_numbers
from roam_lab.capture.sources.python_state import Change

# what torch counts, or notes for itself, in modules and optimizers, and in an autocast that wraps a function
_OF_TORCH = frozenset(
    {"_opt_called", "zero_grad", "_flat_weight_refs", "_need_device_dtype_check_for_fused", "prev_cache_enabled"}
)


class OwnChanges:
    """`change in own_changes` says whether a change is due to tracing.

    `inputs`: the fakes of parameters and buffers; `was(container)`: what a container held before the step;
    `schedulers`: ids of the `__dict__`s of learning-rate schedulers whose `step` is noted.
    """

    def __init__(
        self,
        optimizers: Collection[torch.optim.Optimizer],
        fakes: Fakes,
        inputs: Collection[torch.Tensor],
        was: Callable[[Any], Any],
        schedulers: set[int],
    ) -> None:
        self._fakes, self._was, self._schedulers = fakes, was, schedulers
        self._inputs = {id(tensor) for tensor in inputs}
        self._settings: dict[int, tuple[Any, ...]] = {id(vars(one)): () for one in optimizers}
        for _, _, group in groups_of(tuple(optimizers)):
            self._settings[id(group)] = tuple(group)  # `take_optimizers` looks after the numbers of groups
            self._settings[id(group["params"])] = ()

    def __contains__(self, change: Change) -> bool:
        if self._is_fake_of(change.after, change.before):
            return True
        if isinstance(change.before, list) and self._is_fake_of(change.after, self._was(change.before)):
            return True  # an RNN lists its weights anew
        if change.key == "step" and id(change.container) in self._schedulers:
            return True
        if change.key in _OF_TORCH:
            return True
        if isinstance(change.after, torch.Tensor) and id(change.after) in self._inputs:
            return True
        if change.path.endswith(".data") and change.key == "data":
            return True  # fakes have no memory that could have been exchanged
        settings = self._settings.get(id(change.container))
        if settings is None:
            return False
        return change.key in ("state", "params") or (change.key in settings and holds_numbers(change.before))

    def _is_fake_of(self, fake: Any, real: Any) -> bool:
        """Whether `fake` is the fake of the tensor `real`, or a list of the fakes of a list of tensors (LSTM's
        weights).
        """
        if isinstance(real, torch.Tensor):
            return fake is self._fakes.made(real)
        if not isinstance(real, list | tuple) or type(fake) is not type(real) or len(fake) != len(real) or not real:
            return False
        return all(self._is_fake_of(a, b) or a is b for a, b in zip(fake, real, strict=True))
