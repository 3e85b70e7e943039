"""Which operator differs first: one that eager ran, too, on the same bits, and that gave others there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.cuda.device import NO_BITS
from roam_lab.capture.torch_internals import pytree
from roam_lab.runtime.identity import digest

Ran = tuple[tuple[str, ...], tuple[str, ...]]
"""(operator and digests of what it was given, digests of what it gave)."""


_MAKING = ("aten::empty", "aten::empty_strided", "aten::set", "aten::detach", "aten::clone")
"""Operators that make tensors and views, as a planned step does before its first op."""
_OVERWRITING = ("aten::bernoulli", "aten::copy", "aten::fill", "aten::normal", "aten::uniform", "aten::zero")
"""Operators to which it is nothing what the tensor held that they write."""


class _Log(TorchDispatchMode):
    """Every operator that runs inside, by what went in and what came out; the order does not matter to it."""

    of_planned_steps = True

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[Ran] = []
        self.listening = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.listening:
            return func(*args, **kwargs)
        name = func._schema.name.rstrip("_")  # in place or not, into a place or not
        if name in _MAKING:
            return func(*args, **kwargs)
        outs = {argument.name for argument in func._schema.arguments if argument.is_out}
        given = [
            args[1:] if name in _OVERWRITING else args,
            {key: value for key, value in kwargs.items() if key not in outs},
        ]
        key = (name, *_digests(given))
        result = func(*args, **kwargs)
        self.ran.append((key, _digests(result)))
        return result


def _digests(values: Any) -> tuple[str, ...]:
    return tuple(
        digest(one.detach())
        for one in pytree.tree_leaves(values)
        if isinstance(one, torch.Tensor) and one.layout is torch.strided
    )


def first_difference(
    eager: Callable[[], Callable[[], object]], planned: Callable[[], Callable[[], object]], fake: bool
) -> dict[str, Any]:
    """Make both steps, from equal states, and run each once; `operator` is None where all with a counterpart agree.

    Operators whose inputs eager never saw have no counterpart: what feeds them differs, or they are another form of
    eager's (one call for many tensors).
    """
    logs = []
    for make in (eager, planned):
        with _Log() as log:  # a hooked step minds modes that were not there when it was made
            step = make()
            torch.manual_seed(3)
            log.listening = True
            step()
        logs.append(log.ran)
    compared = compare(*logs)
    if fake:
        return {"ran": compared["ran"], "operator": None, "bits": NO_BITS}
    return compared


def compare(eager: list[Ran], planned: list[Ran]) -> dict[str, Any]:
    """What `first_difference` tells, of two logs."""
    results: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for key, result in eager:
        results[key].add(result)
    with_counterpart = [(key, result) for key, result in planned if key in results]
    first = next((key[0] for key, result in with_counterpart if result not in results[key]), None)
    alone = next((key[0] for key, _ in planned if key not in results), None)
    return {
        "ran": len(planned),
        "with_counterpart": len(with_counterpart),
        "operator": first,
        "first_without_counterpart": alone,
    }
