"""The ops by which ranks exchange tensors: written in place, ordered by the tensors that they write, and by each other.

`_c10d_functional.all_reduce_` and `broadcast_` start an exchange in the background; the tensor must not be touched
until it was waited for. Torch's own `wait_tensor` returns its argument as if it were another tensor, so in a graph the
argument's lifetime would end there. `roam_lab.wait_` writes its argument instead: every op that reads the result
depends on it.
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
    """Whether an op exchanges, or starts to exchange, with other ranks; all ranks run these ops in the same
    sequence."""
    return target in OPS or _in_background(target)


def _in_background(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and schema.name.removeprefix(f"{NAMESPACE}::") in _STARTS


def is_exchanged(node: Node) -> bool:
    """Whether a node's tensor is exchanged in the background. Torch finds a running exchange by the tensor's storage,
    so each such tensor needs a storage of its own: otherwise waiting for one exchange would wait for all."""
    return any(_in_background(user.target) or user.target is WAIT for user in node.users)


def all_reduce_sum(tensor: torch.Tensor, group: str) -> None:
    """Start to add up a tensor over all ranks, in place; `group`: the name of their process group."""
    torch.ops._c10d_functional.all_reduce_(tensor, "sum", group)


def broadcast(tensor: torch.Tensor, group: str) -> None:
    """Start to write the first rank's tensor into that of every other."""
    torch.ops._c10d_functional.broadcast_(tensor, 0, group)


def wait(tensor: torch.Tensor) -> None:
    """Wait until the exchange of this tensor is over."""
    torch.ops.roam_lab.wait_(tensor)


class _Own:
    """`phase`: the phase of the training step whose exchange roam-lab runs at the moment; None where it runs none."""

    phase: str | None = None


@contextmanager
def exchanging(phase: str) -> Iterator[None]:
    """A context whose ops are a wrapper's exchange as roam-lab runs it, in `phase`; ops outside are the user's own."""
    before, _Own.phase = _Own.phase, phase
    try:
        yield
    finally:
        _Own.phase = before


def own_phase() -> str | None:
    """The phase ("forward", "backward") of the exchange that roam-lab runs at the moment, or None."""
    return _Own.phase


def exchanges_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    """One text for each exchange of a step whose ops run in this sequence: the op, dtype, number of elements, and the
    op's other arguments."""
    return tuple(_exchange_text(node) for node in nodes if starts_exchange(node.target))


def _exchange_text(node: Node) -> str:
    tensor: torch.Tensor = node.args[0].meta["val"]  # type: ignore[union-attr]
    return f"{node.target} {tensor.dtype}[{tensor.numel()}] {node.args[1:-1]}"  # the last is the name of the group


def digest_of(*texts: str) -> str:
    """One hexadecimal digest of several texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
