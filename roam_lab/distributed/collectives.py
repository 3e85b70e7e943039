"""The ops by which ranks exchange tensors: written in place, ordered by the tensors that they write, and by each other.

`_c10d_functional.all_reduce_` and `broadcast_` start what is done in the background; nobody may touch the tensor until
it was waited for. Torch's own `wait_tensor` returns its argument as if it were another tensor, so a graph would let the
argument's life end there. `roam_lab.wait_` writes its argument: whoever reads the result comes after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.fx import Node

from roam_lab.distributed.gathering import OPS

_library = torch.library.Library("roam_lab", "FRAGMENT")
_library.define("wait_(Tensor(a!) exchanged) -> Tensor(a!)")


def _wait(exchanged: torch.Tensor) -> torch.Tensor:
    torch.ops._c10d_functional.wait_tensor(exchanged)
    return exchanged


_library.impl("wait_", _wait, "CompositeExplicitAutograd")
torch.library.register_fake("roam_lab::wait_", lambda exchanged: exchanged, lib=_library)

WAIT = torch.ops.roam_lab.wait_.default
NAMESPACE = "_c10d_functional"
_STARTS = frozenset({"all_reduce_", "broadcast_"})


def starts_exchange(target: Any) -> bool:
    """Whether an op exchanges, or starts to exchange, with other ranks: these run in one sequence on all of them."""
    return target in OPS or _in_background(target)


def _in_background(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and schema.name.removeprefix(f"{NAMESPACE}::") in _STARTS


def is_exchanged(node: Node) -> bool:
    """Whether a node's tensor is what ranks exchange in the background. Torch notes what goes on by the tensor's
    storage, so each needs a storage of its own: who waits for one would else wait for all."""
    return any(_in_background(user.target) or user.target is WAIT for user in node.users)


def all_reduce_sum(tensor: torch.Tensor, group: str) -> None:
    """Start to add up a tensor over all ranks, in place; `group`: the name of their process group."""
    torch.ops._c10d_functional.all_reduce_(tensor, "sum", group)


def broadcast(tensor: torch.Tensor, group: str) -> None:
    """Start to write the first rank's tensor into that of every other."""
    torch.ops._c10d_functional.broadcast_(tensor, 0, group)


def wait(tensor: torch.Tensor) -> None:
    """The exchange of this tensor is over."""
    torch.ops.roam_lab.wait_(tensor)


class _Own:
    """Whose ops run just now; `phase`: that of the training step, None where they are not roam-lab's."""

    phase: str | None = None


@contextmanager
def exchanging(phase: str) -> Iterator[None]:
    """The ops meanwhile are the exchange of a wrapper, as roam-lab does it; any other is the user's own."""
    before, _Own.phase = _Own.phase, phase
    try:
        yield
    finally:
        _Own.phase = before


def own_phase() -> str | None:
    """The phase of the step ("forward", "backward") that roam-lab exchanges something in just now, or None."""
    return _Own.phase


def exchanges_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    """What a step exchanges whose ops run in this sequence: op, type, number of entries, what else the op is given."""
    return tuple(_told(node) for node in nodes if starts_exchange(node.target))


def _told(node: Node) -> str:
    tensor: torch.Tensor = node.args[0].meta["val"]  # type: ignore[union-attr]
    return f"{node.target} {tensor.dtype}[{tensor.numel()}] {node.args[1:-1]}"  # the last is the name of the group


def digest_of(*texts: str) -> str:
    """One digest of several texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
