"""Attributes that a user has given to tensors (a parameter's own rate, a gradient in more bits): while a step runs on
fakes, a fake has those of its tensor, and its tensor gets what the step does to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from roam_lab.errors import FirstStepError


@contextmanager
def attributes_shared(
    tensors: Iterable[tuple[str, torch.Tensor]], made: Callable[[torch.Tensor], torch.Tensor | None]
) -> Iterator[None]:
    """A context for running a step on the fakes of `tensors` (path, tensor). `made`: the fake of a tensor, if there is
    one already.

    Raises FirstStepError at the end where the step gives a first attribute to a tensor that is no parameter: nobody
    has looked at those.
    """
    pairs = [(path, one, twin) for path, one in tensors if (twin := made(one)) is not None and twin is not one]
    shared: list[tuple[str, torch.Tensor, dict[str, Any], frozenset[str], dict[str, Any]]] = []
    for path, tensor, twin in pairs:
        own = frozenset(vars(twin))  # what makes it a fake
        given = {name: value for name, value in vars(tensor).items() if name not in own}
        vars(twin).update(given)
        shared.append((path, tensor, vars(twin), own, given))
    yield
    for path, tensor, there, own, given in shared:
        left = {name: value for name, value in there.items() if name not in own}
        for name in given.keys() - left.keys():
            del vars(tensor)[name]
        changed = {name: value for name, value in left.items() if name not in given or value is not given[name]}
        if changed and not vars(tensor) and not isinstance(tensor, torch.nn.Parameter):
            raise FirstStepError(
                f"the step makes {path}.{min(changed)} in its first run and keeps it; run one eager step before"
            )
        vars(tensor).update(changed)
