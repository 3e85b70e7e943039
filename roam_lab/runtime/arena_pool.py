"""The arena of a hook: shared by all its compiled steps, as large as the largest of them needs, freed when idle."""

from __future__ import annotations

import weakref
from typing import Protocol

import torch

from roam_lab.errors import RoamError
from roam_lab.runtime.arena import allocate
from roam_lab.runtime.heap import resident_bytes, trim
from roam_lab.runtime.host_memory import HostMemory
from roam_lab.runtime.lending import KeepingArena, LendingArena, arena_that_lends


class Tenant(Protocol):
    """A compiled step, which holds views of the arena."""

    def unbind(self) -> None:
        """Drop every view of the arena."""


class ArenaPool:
    """One arena, allocated when it is first needed. There are never two: to grow, the old one is freed first.

    `lending`: the arena as one that lends ranges to CUDA's caching allocator, where its steps need that. `host`: host
    memory for storages that plans move there, allocated and freed with the arena. `base_bytes`: the process's resident
    set just before the arena was made.
    """

    def __init__(self) -> None:
        self._device = torch.device("cpu")
        self._arena: torch.Tensor | None = None
        self._lends = False
        self.lending: LendingArena | KeepingArena | None = None
        self._sizes: weakref.WeakKeyDictionary[Tenant, tuple[int, int]] = weakref.WeakKeyDictionary()
        self.host = HostMemory()
        self.base_bytes = 0

    @property
    def arena(self) -> torch.Tensor:
        """The present arena as a byte tensor; of size 0 while there is none."""
        return torch.empty(0, dtype=torch.uint8) if self._arena is None else self._arena

    @property
    def held(self) -> bool:
        """Whether there is an arena now."""
        return self._arena is not None

    def join(self, tenant: Tenant, size: int, device: torch.device, lends: bool = False, on_host: int = 0) -> None:
        """Note that a tenant will need an arena of `size` bytes on `device` (`lends`: and ranges of it lent), and
        `on_host` bytes of host memory. Nothing is allocated yet."""
        if device != self._device or (lends and not self._lends):
            self.release()
            self._device, self._lends = device, lends
        self._sizes[tenant] = size, on_host

    def leave(self, tenant: Tenant) -> None:
        """Forget a tenant. The arena keeps its size until it is allocated again."""
        tenant.unbind()
        self._sizes.pop(tenant, None)

    def take(self, tenant: Tenant) -> torch.Tensor:
        """The arena, at least as large as the tenant needs. Where it has to grow, all tenants are unbound first.

        Raises RoamError when it does not fit.
        """
        own, on_host = self._sizes[tenant]
        if self._arena is not None and self._arena.numel() >= own and self.host.bytes.numel() >= on_host:
            return self._arena
        self.release()
        self._give_back()  # what eager steps left as well: torch 2.11 does not free it while it allocates from a pool
        self.base_bytes = resident_bytes()
        size = max(own for own, _ in self._sizes.values())
        self.host.take(max(on_host for _, on_host in self._sizes.values()), self._device)
        self.lending = arena_that_lends(size, self._device) if self._lends else None
        self._arena = allocate(size, self._device) if self.lending is None else self.lending.bytes
        return self._arena

    def begin(self) -> None:
        """Called before a step: take back all lent ranges. The arena is freed where a step that ended early left a
        result in it, or where it belongs to another CUDA stream."""
        if self.lending is None:
            return
        try:
            self.lending.whole()
        except (RoamError, KeyError):
            self.release()
        else:
            if not self.lending.fits:
                self.release()

    def settle(self) -> None:
        """Called after a step, also one that failed within an op: end all lending and all copies."""
        self.host.copies.settle()
        if self.lending is not None:
            self.lending.settle()

    def release(self) -> None:
        """Unbind every tenant and give the arena's memory back to the system, or to the device."""
        for tenant in list(self._sizes):
            tenant.unbind()
        self.host.release()
        if self._arena is None:
            return
        self._arena = self.lending = None
        self._give_back()

    def _give_back(self) -> None:
        """Give free memory back to the system, or to the device."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        else:
            trim()
