"""How the ranks of a training decide together what each step does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from roam_lab.errors import RoamError


class Ranks:
    """The ranks of a process group. Their messages go over a second group, on the CPU, so that they never come between
    the collectives of training. It is constructed, and each method is called, by all ranks together.

    Raises RoamError where another rank does not answer: it has ended, or is late by more than the group's timeout.
    """

    def __init__(self, group: Any) -> None:
        self.size: int = group.size()
        self.rank: int = group.rank()
        self._members = dist.get_process_group_ranks(group)
        self._group: Any = None
        if self.size > 1:
            with answered():
                self._group = dist.new_group(
                    self._members, _timeout_of(group), "gloo", use_local_synchronization=True, group_desc="roam_lab"
                )

    def largest(self, *numbers: int) -> list[int]:
        """The maximum of each number over all ranks."""
        if self._group is None:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.int64)
        with answered():
            dist.all_reduce(tensor, dist.ReduceOp.MAX, self._group)
        found: list[int] = tensor.tolist()
        return found

    def gathered(self, value: Any) -> list[Any]:
        """The `value` that each rank passes, by rank; anything that can be pickled."""
        if self._group is None:
            return [value]
        values: list[Any] = [None] * self.size
        with answered():
            dist.all_gather_object(values, value, self._group)
        return values

    def from_rank(self, rank: int, value: Any = None) -> Any:
        """The `value` that rank `rank` passes; those of the others are ignored."""
        if self._group is None:
            return value
        values = [value]
        with answered():
            dist.broadcast_object_list(values, self._members[rank], self._group)
        return values[0]


@contextmanager
def answered() -> Iterator[None]:
    """A context in which torch's errors about ranks that have ended, also as the cause of another error, are raised as
    a RoamError of one sentence."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, RuntimeError) else error
        if isinstance(cause, RuntimeError) and _is_about_ranks(cause):
            first = (str(cause).strip() or type(cause).__name__).splitlines()[0][:200]
            raise RoamError(
                f"another rank of the training has ended, or does not answer ({first}); see what that process printed "
                "last, and start all of them again from a checkpoint"
            ) from error
        raise


def _is_about_ranks(error: RuntimeError) -> bool:
    if isinstance(error, dist.DistBackendError | dist.DistNetworkError | dist.DistStoreError):
        return True
    return any(word in str(error) for word in ("gloo/transport", "NCCL", "Connection closed by peer"))


def _timeout_of(group: Any) -> Any:
    """The group's own timeout; None (torch's default) where the group does not show it."""
    try:
        return group._get_backend(torch.device("cpu")).options._timeout
    except (RuntimeError, AttributeError):
        return None
