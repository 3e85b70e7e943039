"""What malloc keeps goes back to the system when the plan is about to be passed, and only then."""

import gc
import os

import pytest
import torch

from roam_lab.runtime.heap import (
    SLACK,
    SLACK_BYTES,
    SLACK_WITHOUT_BUDGET,
    Heap,
    no_more_than_live,
    resident_bytes,
    uncollected,
)

MIB = 2**20


class Watched(Heap):
    """A process of which the resident memory is what we say."""

    def __init__(self, arena, planned, **slack):
        self.resident, self.users, self.trimmed = 1000 * MIB, 1100 * MIB, 0
        super().__init__(arena, planned, **slack)

    def _resident(self):
        return self.resident

    def _trim(self):
        self.trimmed += 1
        self.resident = min(self.resident, self.users)


def test_trims_before_the_plan_is_passed():
    heap = Watched(100 * MIB, 200 * MIB)
    heap.before(50 * MIB, 0)
    assert heap.trimmed == 0
    heap.resident += 190 * MIB  # the arena, and 90 MiB alive or kept by malloc
    heap.before(10 * MIB, 90 * MIB)
    assert heap.trimmed == 0
    heap.before(50 * MIB, 90 * MIB)  # nothing free: 240 MiB, over 200 and the slack
    assert heap.trimmed == 1


def test_what_malloc_has_free_counts_as_room():
    heap = Watched(100 * MIB, 200 * MIB)
    heap.resident += 190 * MIB
    heap.before(30 * MIB, 0)  # 90 MiB are free: a place is found in there
    assert heap.trimmed == 0
    heap.before(30 * MIB, 1 * MIB)  # among others half of it is taken to be usable
    assert heap.trimmed == 0
    heap.resident += 5 * MIB
    heap.before(60 * MIB, 0)  # a block of more than 32 MiB comes from the system
    assert heap.trimmed == 1


def test_a_plan_without_a_budget_may_be_passed_by_more():
    for slack, trims in ((SLACK, 1), (SLACK_WITHOUT_BUDGET, 0)):
        heap = Watched(100 * MIB, 200 * MIB, slack=slack)
        heap.resident += 190 * MIB
        heap.before(20 * MIB, 90 * MIB)  # 210 MiB
        assert heap.trimmed == trims


def test_memory_of_the_users_own_moves_the_base():
    heap = Watched(100 * MIB, 200 * MIB)
    heap.resident = heap.users = 6000 * MIB
    heap.start()
    assert heap.trimmed == 1
    for _ in range(3):
        heap.start()
        heap.before(90 * MIB, 0)
    assert heap.trimmed == 1
    heap.before(190 * MIB, 0)
    assert heap.trimmed == 2


def test_the_real_one_gives_memory_back():
    heap = Heap(0, 0)
    if not heap.works:
        pytest.skip("no glibc, or no /proc")
    blocks = [bytearray(100_000) for _ in range(400)]  # below malloc's mmap threshold
    keep = blocks[::100]
    full = heap._resident()
    del blocks
    heap.before(SLACK_BYTES * 100, 0)
    assert full - heap._resident() > 20 * MIB
    assert len(keep) == 4


def test_what_the_arena_gives_up_is_not_taken_for_free():
    heap = Watched(100 * MIB, 100 * MIB)
    heap.resident += 100 * MIB  # 40 MiB of the arena are given up, and ops hold as much
    heap.before(5 * MIB, 40 * MIB, 40 * MIB)
    assert heap.trimmed == 0
    heap.resident += 20 * MIB  # free in malloc, in pieces of which half are found
    heap.before(10 * MIB, 40 * MIB, 40 * MIB)
    assert heap.trimmed == 1


@pytest.mark.skipif(not Heap(0, 0).works, reason="not glibc on Linux")
def test_what_is_freed_goes_back_at_once_where_no_more_than_live_is_wanted():
    if any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")):
        pytest.skip("malloc has options of the user's")

    def freed():
        """Bytes that go when every other block of 64 MiB in all is freed."""
        blocks = [torch.ones(2**17) for _ in range(128)]
        before = resident_bytes()
        del blocks[::2]
        return before - resident_bytes()

    with no_more_than_live():
        assert freed() > 24 * MIB
    assert freed() < 16 * MIB


def test_what_does_not_go_is_not_asked_for_before_every_op():
    heap = Watched(100 * MIB, 100 * MIB)
    heap.resident += 160 * MIB
    heap.users = heap.resident  # 60 MiB that no malloc can give back, such as a library's scratch
    for _ in range(50):
        heap.before(10 * MIB, 0)
    assert heap.trimmed == 1
    heap.resident += 10 * MIB  # and some that it can
    heap.before(10 * MIB, 0)
    assert heap.trimmed == 2


def test_the_collector_waits_and_is_as_before(monkeypatch):
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
