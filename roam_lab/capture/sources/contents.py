"""The bytes of many tensors at one moment, each storage once, in memory or in a file; written back where they were."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import IO, Any

import torch

from roam_lab.capture.torch_internals import FakeTensor

MOST_MEMORY_BYTES = 64 << 20
"""More than this in all lies in a file that has no name and is gone with the process."""
_CHUNK_BYTES = 16 << 20


class Contents:
    """A copy of what named tensors hold. `not_copied`: names of those without memory of their own kind (meta, fake)."""

    def __init__(self, tensors: Iterable[tuple[str, torch.Tensor]], most_memory_bytes: int = MOST_MEMORY_BYTES) -> None:
        self._storages: dict[int, torch.UntypedStorage] = {}
        self._values: list[tuple[torch.Tensor, torch.Tensor]] = []
        not_copied: list[str] = []
        for name, tensor in tensors:
            for part in _parts(tensor):
                if not isinstance(part, torch.Tensor):
                    continue  # a device mesh, which a distributed tensor names among its parts
                if isinstance(part, FakeTensor) or part.device.type == "meta":
                    not_copied.append(name)
                elif part.layout == torch.strided:
                    storage = part.untyped_storage()
                    self._storages.setdefault(storage._cdata, storage)
                else:
                    self._values.append((part, part.detach().clone()))
        self.not_copied = tuple(not_copied)
        self.bytes = sum(storage.nbytes() for storage in self._storages.values())
        self._sizes = [storage.nbytes() for storage in self._storages.values()]
        self._file: IO[bytes] | None = None
        self._copies: list[torch.Tensor] = []
        views = (_as_bytes(storage) for storage in self._storages.values())
        if self.bytes <= most_memory_bytes:
            self._copies = [view.to("cpu", copy=True) for view in views]
        else:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
            for view in views:
                for chunk in view.split(_CHUNK_BYTES):
                    _write(self._file, chunk)

    @property
    def in_file(self) -> bool:
        """Whether the bytes lie in a file."""
        return self._file is not None

    def restore(self) -> None:
        """Write every byte back to the storage it came from. May be called more than once."""
        if self._file is not None:
            self._file.seek(0)
        for index, (storage, size) in enumerate(zip(self._storages.values(), self._sizes, strict=True)):
            if storage.nbytes() != size and (storage.nbytes() < size or storage.resizable()):
                storage.resize_(size)
            view = _as_bytes(storage)[:size]
            if self._file is None:
                view.copy_(self._copies[index])
                continue
            for chunk in view.split(_CHUNK_BYTES):
                _read(self._file, chunk)
        for tensor, value in self._values:
            tensor.detach().copy_(value)


def _parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensor, or those inside a tensor of a wrapping class."""
    flatten: Any = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor
        return
    for name in flatten()[0]:
        yield from _parts(getattr(tensor, name))


def _as_bytes(storage: torch.UntypedStorage) -> torch.Tensor:
    with torch.inference_mode(False), torch.no_grad():
        return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _write(file: IO[bytes], chunk: torch.Tensor) -> None:
    data = memoryview(chunk.cpu().numpy().data)
    while data:
        data = data[file.write(data) :]


def _read(file: Any, chunk: torch.Tensor) -> None:
    target = chunk if chunk.device.type == "cpu" else torch.empty_like(chunk, device="cpu")
    data = memoryview(target.numpy().data)
    while data:
        count = file.readinto(data)
        if not count:
            raise OSError("the file that holds the saved tensors has become shorter")
        data = data[count:]
    if target is not chunk:
        chunk.copy_(target)
