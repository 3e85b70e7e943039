"""When copies to and from the host run, and what the ops wait for them: by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roam_lab.ir import Device, Graph, Op, Origin, Rewritten, Storage
from roam_lab.ir.host_copies import HostCopy, copy_us, host_copies, waited_us

MADE, OTHER, HOST, BACK, END = range(5)
STORAGES = (Storage(8), Storage(4), Storage(8, region="host"), Storage(8), Storage(4, output=True))
OPS = (
    Op("make", "t", creates=(MADE,), time_us=5.0),
    Op("other", "t", creates=(OTHER,), time_us=1.0),
    Op("out", "roam::to_host", after=(0,), reads=(MADE,), writes=(HOST,)),
    Op("back", "roam::to_device", after=(2,), reads=(HOST,), creates=(BACK,)),
    Op("end", "t", after=(3,), reads=(BACK,), creates=(END,), time_us=3.0),
)
ORIGINS = (
    Origin((0,), (), (MADE,)),
    Origin((1,), (), (OTHER,)),
    Origin((), copies=(MADE, HOST)),
    Origin((), copies=(HOST, BACK)),
    Origin((2,), (BACK,), (END,)),
)
MOVED = Rewritten(Graph("g", STORAGES, OPS), ORIGINS)
DEVICE = Device(1.0, 1.0, launch_us=1.0, cache_bytes=1, host_bytes_per_s=8e6)
"""8 bytes in 1 us, after a launch of 1 us."""


def test_a_copy_lasts_from_what_it_needs_to_what_needs_it() -> None:
    assert host_copies(MOVED, range(5)) == (HostCopy(MADE, HOST, 0, 2), HostCopy(HOST, BACK, 3, 4))
    assert host_copies(MOVED, (1, 0, 2, 3, 4)) == (HostCopy(MADE, HOST, 1, 2), HostCopy(HOST, BACK, 3, 4))
    early = (0, 2, 3, 1, 4)  # what has come back waits for its use
    assert host_copies(MOVED, early) == (HostCopy(MADE, HOST, 0, 1), HostCopy(HOST, BACK, 2, 4))


def test_what_comes_back_and_is_not_used_is_there_at_the_next_step() -> None:
    assert host_copies(MOVED, range(4))[1] == HostCopy(HOST, BACK, 3, 4)
    assert host_copies(MOVED, (0, 2, 3, 1))[1] == HostCopy(HOST, BACK, 2, 3)


def test_a_copy_to_the_host_follows_the_last_write_and_the_last_use_of_its_target() -> None:
    again = Op("again", "t", after=(0,), reads=(MADE,), writes=(MADE,), time_us=1.0)
    graph = Graph("g", STORAGES, (*OPS[:1], again, replace(OPS[2], after=(1,)), *OPS[3:]))
    origins = (*ORIGINS[:1], Origin((1,), (MADE,), (), (MADE,)), *ORIGINS[2:])
    assert host_copies(Rewritten(graph, origins), range(5))[0] == HostCopy(MADE, HOST, 1, 2)


def test_a_launch_and_the_bytes() -> None:
    assert copy_us(8, DEVICE) == 2.0
    assert copy_us(80, DEVICE) == 11.0


@pytest.mark.parametrize(
    ("order", "waited"),
    [
        ((0, 1, 2, 3, 4), 1.0 + 2.0),  # the copy takes from 5 to 7 us, other to 6; coming back takes from 7 to 9
        ((0, 2, 1, 3, 4), 2.0 + 2.0),  # nothing hides the first
        ((0, 2, 3, 1, 4), 2.0 + 1.0),  # other hides 1 us of the second
    ],
)
def test_ops_wait_for_what_does_not_hide_behind_them(order: tuple[int, ...], waited: float) -> None:
    assert waited_us(MOVED, order, DEVICE) == pytest.approx(waited)


def test_nothing_hides_behind_an_op_whose_time_is_not_known() -> None:
    graph = replace(MOVED.graph, ops=(OPS[0], replace(OPS[1], time_us=None), *OPS[2:]))
    assert waited_us(Rewritten(graph, ORIGINS), range(5), DEVICE) == pytest.approx(2.0 + 2.0)


def test_a_link_carries_one_copy_at_a_time() -> None:
    """With a link so slow that the copy back waits for the copy out, whoever starts it."""
    slow = replace(DEVICE, host_bytes_per_s=8e5)
    assert waited_us(MOVED, range(5), slow) == pytest.approx((5 + 11 - 6) + 11)
    assert waited_us(MOVED, (0, 2, 3, 1, 4), slow) == pytest.approx(11 + 10)


def test_a_copy_into_a_host_storage_that_is_used_waits_for_that_use() -> None:
    """MADE goes out, comes back, and goes out into the same place again, at the earliest when the copy back has
    begun."""
    second = Op("again", "roam::to_host", after=(3,), reads=(MADE,), writes=(HOST,))
    graph = Graph("g", STORAGES, (*OPS[:4], second, replace(OPS[4], after=(3,))))
    rewritten = Rewritten(graph, (*ORIGINS[:4], Origin((), copies=(MADE, HOST)), ORIGINS[4]))
    assert host_copies(rewritten, range(6)) == (
        HostCopy(MADE, HOST, 0, 2), HostCopy(HOST, BACK, 3, 5), HostCopy(MADE, HOST, 3, 4)
    )  # fmt: skip
    alone = Graph("g", STORAGES, (OPS[0], replace(OPS[2], after=(0,)), replace(OPS[1])))
    assert host_copies(Rewritten(alone, (ORIGINS[0], ORIGINS[2], ORIGINS[1])), range(3)) == (
        HostCopy(MADE, HOST, 0, 1),
    )


def test_a_copy_begins_no_earlier_than_the_one_before() -> None:
    late = Op("late", "roam::to_host", after=(1,), reads=(OTHER,), creates=(4,))
    storages = (*STORAGES[:4], Storage(4, region="host"))
    graph = Graph("g", storages, (OPS[1], replace(OPS[0]), replace(OPS[2], after=(1,)), replace(late, after=(0,))))
    rewritten = Rewritten(graph, (ORIGINS[1], ORIGINS[0], ORIGINS[2], Origin((), copies=(OTHER, 4))))
    assert host_copies(rewritten, range(4)) == (HostCopy(MADE, HOST, 1, 2), HostCopy(OTHER, 4, 1, 3))
