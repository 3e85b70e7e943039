"""One arena a hook: shared, grown to the largest, really given back."""

import gc
import weakref

import pytest
import torch

from roam_lab.runtime.arena_pool import ArenaPool
from roam_lab.runtime.heap import resident_bytes

CPU = torch.device("cpu")
MIB = 2**20


class Tenant:
    def __init__(self, pool, size):
        self.pool, self.view = pool, None
        pool.join(self, size, CPU)

    def bind(self):
        self.view = self.pool.take(self)[:8]

    def unbind(self):
        self.view = None


def test_one_arena_for_all_made_when_it_is_needed():
    pool = ArenaPool()
    small, large = Tenant(pool, 100), Tenant(pool, 1000)
    assert not pool.held
    assert pool.arena.numel() == 0
    small.bind()
    large.bind()
    assert pool.arena.numel() == 1000
    assert small.view.data_ptr() == large.view.data_ptr()


def test_growing_unbinds_first_so_that_there_are_never_two():
    pool = ArenaPool()
    small = Tenant(pool, 100)
    small.bind()
    old = weakref.ref(pool.arena)
    large = Tenant(pool, 1000)
    large.bind()
    assert small.view is None
    assert old() is None
    assert pool.arena.numel() == 1000


def test_released_memory_is_the_systems_again():
    if not resident_bytes():
        pytest.skip("the system does not tell what is resident")
    pool = ArenaPool()
    tenant = Tenant(pool, 64 * MIB)
    gc.collect()
    before = resident_bytes()
    tenant.bind()
    pool.arena.fill_(1)
    assert resident_bytes() - before > 60 * MIB
    pool.release()
    assert tenant.view is None
    assert not pool.held
    assert resident_bytes() - before < 8 * MIB
    tenant.bind()
    assert tenant.view.sum() == 0


def test_who_leaves_no_longer_counts():
    pool = ArenaPool()
    small, large = Tenant(pool, 100), Tenant(pool, 1000)
    pool.leave(large)
    small.bind()
    assert pool.arena.numel() == 100
