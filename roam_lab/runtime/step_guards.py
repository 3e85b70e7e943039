"""What a compiled step relies on beside its inputs: guarded from capture on, read before each planned step."""

from __future__ import annotations

import re
from collections.abc import Collection

from roam_lab.capture import TrainingStep
from roam_lab.capture.sources.guards import Guards
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.training_step import roots_of

_SCHEDULED = ("initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum")
"""Settings that schedulers keep in a group for themselves."""
_PATH = re.compile(
    r"^(?:the entries of |the contents of the array |a .*? of )?(.+?)"
    r"(?: was | were | is another | have changed|\.requires_grad was )"
)


def guards_of(step: TrainingStep, changed: Collection[str] = ()) -> Guards:
    """Guards of everything that the step reaches as it is now.

    Left out: `changed`, the paths of what the step changes itself, and what is read anew for each step: the settings
    of the optimizers.
    """
    left_out = set(changed)
    for number, optimizer in enumerate(step.optimizers):
        path = "optimizer" if len(step.optimizers) == 1 else f"optimizer[{number}]"
        left_out.add(f"{path}._opt_called")
        for index, group in enumerate(optimizer.param_groups):
            keys = [key for key in (*group, *_SCHEDULED) if key != "params"]
            left_out.update(f"{path}.param_groups[{index}][{key!r}]" for key in keys)
    return Guards(reach(roots_of(step)), left_out)


def guarded_path(sentence: str) -> str:
    """The path that a sentence of `Guards.check` is about."""
    found = _PATH.match(sentence)
    return found[1] if found else sentence
