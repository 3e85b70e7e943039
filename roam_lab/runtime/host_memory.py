"""Host memory for offloaded storages, and the copies to and from it.

On CUDA the memory is pinned, and copies run on a stream of their own, beside the ops; events synchronize the two
streams. On the CPU a copy is an ordinary one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

import torch

from roam_lab.errors import RoamError
from roam_lab.runtime.arena import allocate


class Copies(Protocol):
    """Runs the numbered copies of a step, in the order in which they are started."""

    def start(self, number: int, target: torch.Tensor, source: torch.Tensor) -> None:
        """Start copy `number`; it runs after all work submitted to the device so far."""

    def end(self, number: int) -> None:
        """Make all work submitted from now on wait for copy `number`."""

    def settle(self) -> None:
        """Make all work submitted from now on wait for every copy; called after a step, also one that failed."""


class PlainCopies:
    """Copies on the CPU: each is done when it is started."""

    def start(self, number: int, target: torch.Tensor, source: torch.Tensor) -> None:
        """Copy."""
        target.copy_(source)

    def end(self, number: int) -> None:
        """Nothing is left to wait for."""

    def settle(self) -> None:
        """Nothing is left to wait for."""


class SideStream:
    """Copies on a CUDA stream of their own, one after the other; the host never waits."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._done: dict[int, torch.cuda.Event] = {}

    def start(self, number: int, target: torch.Tensor, source: torch.Tensor) -> None:
        """The side stream waits for the ops so far, copies, and records an event."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
        self._done.setdefault(number, torch.cuda.Event()).record(self._stream)

    def end(self, number: int) -> None:
        """The ops' stream waits for that copy."""
        torch.cuda.current_stream(self._device).wait_event(self._done[number])

    def settle(self) -> None:
        """The ops' stream waits for all copies."""
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def finish(self) -> None:
        """The host waits for all copies."""
        self._stream.synchronize()


class HostMemory:
    """One block of host memory, made when it is first needed; pinned where the device is CUDA."""

    def __init__(self) -> None:
        self.bytes = torch.empty(0, dtype=torch.uint8)
        self.copies: Copies = PlainCopies()
        self._unpin: Callable[[], Any] = lambda: None

    def take(self, size: int, device: torch.device) -> None:
        """Have at least `size` bytes. Raises RoamError where they do not fit, or cannot be pinned."""
        if self.bytes.numel() >= size:
            return
        self.release()
        self.bytes = allocate(size, torch.device("cpu"))
        if device.type != "cuda":
            return
        # torch's own pinned memory comes in powers of two, and is kept
        status = torch.cuda.cudart().cudaHostRegister(self.bytes.data_ptr(), size, 0)
        if int(status):
            self.bytes = torch.empty(0, dtype=torch.uint8)
            raise RoamError(
                f"{size} bytes of host memory cannot be pinned (CUDA error {int(status)}); raise the limit of locked "
                "memory (ulimit -l), or plan without offload"
            )
        self.copies = stream = SideStream(device)
        self._unpin = unpin = weakref.finalize(self, _unpin, stream, self.bytes)  # also where a hook is deleted
        unpin.atexit = False

    def release(self) -> None:
        """Free the memory, after waiting for running copies."""
        self._unpin()
        self.bytes, self.copies = torch.empty(0, dtype=torch.uint8), PlainCopies()


def _unpin(stream: SideStream, pinned: torch.Tensor) -> None:
    stream.finish()
    torch.cuda.cudart().cudaHostUnregister(pinned.data_ptr())


def contents(tensor: torch.Tensor) -> torch.Tensor:
    """The whole storage of a tensor as bytes."""
    storage = tensor.untyped_storage()
    return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage, 0, (storage.nbytes(),), (1,))
