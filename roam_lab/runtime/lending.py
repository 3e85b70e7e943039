"""An arena on CUDA that lends ranges to the caching allocator, so that external storages lie in the arena."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from roam_lab.capture.torch_internals import allocate_as_before, allocate_from, storage_at
from roam_lab.errors import RoamError
from roam_lab.plan.beside import LEAST_LENDING_BYTES, FreeRanges, rounded
from roam_lab.runtime.arena import allocate, does_not_fit


class LendingArena:
    """`size` bytes on a device, in a memory pool of their own. Raises RoamError where they do not fit.

    The arena's memory consists of blocks of the caching allocator, one for each maximal range that is not lent. To lend
    a range its block is freed; while the op runs, torch allocates from the pool, in which that block is the only free
    one of its size. `bytes`: a tensor over the whole arena that owns no memory. Blocks belong to the stream that was
    current when the arena was made.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self._device = torch.empty(0, device=device).device  # with its index
        self._size = rounded(max(size, LEAST_LENDING_BYTES))
        self._stream = torch.cuda.current_stream(device)
        self._pool = torch.cuda.MemPool()
        self._pool_id = self._pool.id
        self._routed = False
        self._free = FreeRanges(self._size)
        self._gone: list[int] = []
        self._route()
        try:
            whole = self._empty(self._size)
        finally:
            self._leave()
        self._base = whole.data_ptr()
        self._blocks: dict[tuple[int, int], torch.Tensor] = {(0, self._size): whole}
        storage = storage_at(self._base, self._device, self._size)
        self.bytes = torch.empty(0, dtype=torch.uint8, device=device).set_(storage)

    @property
    def fits(self) -> bool:
        """Whether the current stream is the one to which the blocks belong."""
        return bool(torch.cuda.current_stream(self._device) == self._stream)

    def lend(self, *ranges: tuple[int, int]) -> None:
        """Lend ranges, each (start, bytes): until `settle`, torch allocates from them; requests that do not fit take
        memory of the pool beside the arena."""
        self._route()
        self._note_gone()
        # where an op did not take its range, later ones may not be cut out as planned
        self._hold_the_rest([start for start, size in ranges if self._free.lend(start, size) is not None])

    def settle(self, *results: tuple[int | None, torch.Tensor]) -> list[torch.Tensor]:
        """End the lending to an op that has run. `results`: (start of the range lent for it, or None; result). Returns
        the results to be used from now on.

        Where the op allocated a workspace first, a result may lie beside the arena, where it stays, or in another's
        range, from which it is copied. A range that no result took is taken back before more is lent.
        """
        self._leave()
        settled = []
        for start, result in results:
            address = result.untyped_storage().data_ptr() - self._base
            if start is not None and address != start:
                self._gone.append(start)
            settled.append(_copied(result) if address != start and 0 <= address < self._size else result)
        return settled

    def take_back(self, *starts: int) -> None:
        """Note that the results in the ranges at `starts` were freed. Nothing else allocates from the pool before more
        is lent, so the arena may be written there at once; the blocks themselves are allocated again later."""
        self._gone.extend(starts)

    def _note_gone(self) -> None:
        for start in dict.fromkeys(self._gone):
            if start in self._free.lent:
                self._free.take_back(start)
        self._gone.clear()

    def _hold_the_rest(self, lent: Sequence[int] = ()) -> None:
        """Allocate every maximal range that is not lent as one block. Ranges at `lent`, and those whose results were
        freed, are free in the pool."""
        ranges = self._free.ranges
        free = [one for one in ranges if one not in self._blocks]
        for one in self._blocks.keys() - set(ranges):
            del self._blocks[one]
        cut = sorted([*free, *((start, self._free.lent[start]) for start in lent)])
        while cut and cut[-1][0] in lent:
            cut.pop()
        between: dict[tuple[int, int], torch.Tensor] = {}  # held until all are cut out: free neighbours become one
        for one in cut:
            (between if one[0] in lent else self._blocks)[one] = self._held(*one)

    def whole(self) -> None:
        """Take all ranges back, as results of a step that ended early were freed. Raises RoamError where one was
        not."""
        self._leave()
        self.take_back(*self._free.lent)
        if self._gone:
            self._route()
            try:
                self._note_gone()
                self._hold_the_rest()
            finally:
                self._leave()

    def _held(self, start: int, end: int) -> torch.Tensor:
        """Allocate the free block [start, end). The allocator may return other free blocks of that size first; they are
        kept until this one comes. No other size is requested, as that could make the pool larger."""
        others: list[torch.Tensor] = []
        reserved = 0
        while True:
            block = self._empty(end - start)
            if block.data_ptr() == self._base + start:
                break
            others.append(block)
            if reserved and self._reserved() > reserved:
                raise RoamError(
                    "a part of the arena did not come back from CUDA's caching allocator: something holds a result of "
                    "the step, or PYTORCH_CUDA_ALLOC_CONF changes how it cuts blocks"
                )
            reserved = self._reserved()
        return block

    def _reserved(self) -> int:
        return int(torch.cuda.memory_stats_as_nested_dict(self._device)["reserved_bytes"]["all"]["current"])

    def _leave(self) -> None:
        if self._routed:
            self._routed = False
            allocate_as_before(self._pool_id, self._device.index)

    def _route(self) -> None:
        allocate_from(self._pool_id, self._device.index)
        self._routed = True

    def _empty(self, size: int) -> torch.Tensor:
        try:
            return torch.empty(size, dtype=torch.uint8, device=self._device)
        except RuntimeError as error:
            raise does_not_fit(self._size, self._device, error) from None

    def cuts(self) -> bool:
        """Whether the allocator really takes a request from a lent range; tried on one."""
        try:
            self.lend((rounded(self._size // 2), rounded(self._size // 4)))
            self.settle()
            self.whole()
        except RoamError:
            return False
        return True


class KeepingArena:
    """An arena that lends nothing, so that results lie beside it: for other allocators, and for settings under which
    blocks are not split."""

    fits = True

    def __init__(self, size: int, device: torch.device) -> None:
        self.bytes = allocate(size, device)

    def lend(self, *ranges: tuple[int, int]) -> None:
        """Nothing."""

    def settle(self, *results: tuple[int | None, torch.Tensor]) -> list[torch.Tensor]:
        """The results."""
        return [result for _, result in results]

    def take_back(self, *starts: int) -> None:
        """Nothing."""

    def whole(self) -> None:
        """It always is."""


def arena_that_lends(size: int, device: torch.device) -> LendingArena | KeepingArena:
    """An arena of `size` bytes, which lends ranges where CUDA's caching allocator splits blocks. Raises RoamError where
    it does not fit."""
    if torch.cuda.get_allocator_backend() == "native":
        made = LendingArena(size, device)
        if made.cuts():
            return made
        del made
        torch.cuda.empty_cache()
    return KeepingArena(size, device)


def _copied(result: torch.Tensor) -> torch.Tensor:
    """A copy with the same strides."""
    made = torch.empty_strided(result.shape, result.stride(), dtype=result.dtype, device=result.device)
    return made.copy_(result)
