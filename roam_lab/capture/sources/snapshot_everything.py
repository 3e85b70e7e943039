"""Everything that a step can reach, tensors and Python objects, copied before it and put back after it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import torch

from roam_lab.capture.snapshot import Leaves, RandomState
from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.contents import MOST_MEMORY_BYTES, Contents
from roam_lab.capture.sources.digest import digest
from roam_lab.capture.sources.python_state import Change, PythonState
from roam_lab.capture.sources.reachable import Reachable, reach
from roam_lab.capture.sources.stateful import Stateful
from roam_lab.capture.sources.values import is_plain
from roam_lab.capture.sources.walk import MOST_ENTRIES
from roam_lab.distributed.wrapper import have_buffers_taken, takes_buffers
from roam_lab.interrupt import held

Optimizers = torch.optim.Optimizer | Sequence[torch.optim.Optimizer]

_MOST_THREADS = 8
_LARGE_BYTES = 1 << 20


class FullSnapshot:
    """Model, optimizers and everything that the function reaches, at one moment.

    Holds one copy of every storage: in CPU memory, above `most_memory_bytes` in all in a file without a name. Tensors
    that were there keep identity and address, containers their identity. `cannot_restore`: paths of what `restore`
    leaves as it is. `function` may be None: model and optimizers only. `batch` is
    put back, too.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizers: Optimizers,
        function: Callable[..., Any] | None = None,
        *,
        batch: Any = None,
        most_memory_bytes: int = MOST_MEMORY_BYTES,
    ) -> None:
        self.roots: dict[str, Any] = {"model": model, "optimizer": optimizers}
        if function is not None:
            self.roots["step"] = function
        self.reachable = reach(self.roots if batch is None else {**self.roots, "batch": batch})
        self.python = PythonState(self.reachable)
        self._random = RandomState()
        self._model, self._takes_buffers = model, takes_buffers(model)
        self._leaves = Leaves(self.reachable)
        gradients = [(path + ".grad", gradient) for path, gradient in _gradients(self.reachable)]
        self.contents = Contents([*self.reachable.tensors, *gradients], most_memory_bytes)
        self.cannot_restore = (*self.python.cannot_restore, *self.contents.not_copied)

    def changes(self) -> tuple[Change, ...]:
        """What differs on the Python side; contents of tensors are not compared here, but by `digests`."""
        return self.python.changes()

    def restore(self) -> None:
        """Put everything back, in place. May be called more than once; an interrupt waits until that is done.

        Raises CaptureError, after everything else was put back, where an object would not take its state back.
        """
        with held():
            try:
                self.python.restore()
            finally:
                self.contents.restore()
                self._leaves.restore()
                self._random.restore()
                have_buffers_taken(self._model, self._takes_buffers)

    def digests(self) -> dict[str, str]:
        """`digests_of` the same roots as they are now."""
        return digests_of(self.roots)


def digests_of(roots: Mapping[str, Any]) -> dict[str, str]:
    """Path -> digest of everything that the roots reach now: tensors, plain Python values, arrays, positions
    of generators and iterators, and the random state of torch, NumPy and Python.

    Two things of one path are told apart by a number behind it, in the order of the walk.
    """
    found = reach(roots)
    digests: dict[str, str] = {}

    def note(path: str, text: str) -> None:
        name, count = path, 1
        while name in digests:
            count += 1
            name = f"{path} ({count})"
        digests[name] = text

    for path, text in _tensor_digests(found.tensors):  # not their gradients, which a planned step does not keep
        note(path, text)
    for container in found.containers:
        for place, value in _plain_entries(container):
            note(place, digest(value))
    for path, value in found.stateful:
        state = Stateful(path, value).now()
        note(path, _state_digest(state))
    note("random state of torch", digest(torch.get_rng_state()))
    if torch.cuda.is_initialized():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            note(f"random state of cuda:{index}", digest(state))
    note("random state of numpy", _state_digest(numpy.random.get_state(legacy=False)))
    note("random state of Python", _state_digest(random.getstate()))
    return digests


def _gradients(found: Reachable) -> list[tuple[str, torch.Tensor]]:
    return [(path, one.grad) for path, one in found.tensors if one.is_leaf and one.grad is not None]


def _tensor_digests(tensors: Sequence[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, str]]:
    """Path and digest of each; large ones that need no copy on all cores at once."""
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        begun = [
            (path, tensor, threads.submit(_tensor_digest, tensor) if _is_large(tensor) else None)
            for path, tensor in tensors
        ]
        for path, tensor, text in begun:
            yield path, _tensor_digest(tensor) if text is None else text.result()


def _is_large(tensor: torch.Tensor) -> bool:
    plain = tensor.device.type == "cpu" and tensor.layout is torch.strided
    return plain and tensor.is_contiguous() and tensor.nbytes >= _LARGE_BYTES


def _tensor_digest(tensor: torch.Tensor) -> str:
    if tensor.device.type == "meta":
        return f"meta {list(tensor.shape)}"
    if tensor.layout != torch.strided:
        return digest(tensor.to_dense())
    return digest(tensor)


def _plain_entries(container: Container) -> list[tuple[str, Any]]:
    """Entries whose text is their value."""
    entries = container.read()
    if isinstance(entries, dict):
        return [(container.place(key), value) for key, value in entries.items() if _is_text(value)]
    if isinstance(entries, set):
        return [(container.path, sorted(map(repr, filter(_is_text, entries))))]
    if len(entries) > MOST_ENTRIES:
        texts = repr([value for value in entries if _is_text(value)]).encode()
        return [(container.path, f"{len(entries)} entries"), (container.path, hashlib.sha256(texts).hexdigest())]
    return [(container.path, f"{len(entries)} entries")] + [
        (container.place(index), value) for index, value in enumerate(entries) if _is_text(value)
    ]


def _is_text(value: Any) -> bool:
    return is_plain(value) or (isinstance(value, tuple) and all(map(_is_text, value)))


def _state_digest(state: Any) -> str:
    """Of nested dicts and tuples around tensors, arrays and plain values; objects count by their type only."""
    if isinstance(state, torch.Tensor):
        return digest(state)
    if isinstance(state, numpy.ndarray):
        if state.dtype.hasobject:
            return _state_digest(tuple(state.flat))
        return digest(torch.from_numpy(numpy.frombuffer(state.tobytes() or b"\0", numpy.uint8).copy()))
    if isinstance(state, dict):
        return digest({key: _state_digest(value) for key, value in state.items()})
    if isinstance(state, tuple | list):
        if len(state) > 64 and all(map(is_plain, state)):
            return digest(torch.frombuffer(bytearray(repr(state).encode()), dtype=torch.uint8))
        return digest([_state_digest(value) for value in state])
    return digest(state) if is_plain(state) else type(state).__name__
