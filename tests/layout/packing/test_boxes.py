"""Boxing: what each step of the proof promises."""

from __future__ import annotations

import random

import pytest

from roam_lab.ir import Layout, Lifetime, check_layout, lifetimes_curve
from roam_lab.layout.packing.boxes import Box, _grouped, _strips, boxed_offsets, in_boxes, rows
from tests.layout.packing.lives import dense_lives, random_lives


def most_at_once(jobs: list[Box]) -> int:
    return max(sum(job.start <= moment < job.end for job in jobs) for moment in range(60))


def unit_jobs(seed: int, count: int = 400) -> list[Box]:
    draw = random.Random(seed)
    starts = [draw.randint(0, 40) for _ in range(count)]
    return [Box(start, start + draw.randint(1, 15), 10) for start in starts]


@pytest.mark.parametrize("epsilon", [1, 1 / 2, 1 / 4])
@pytest.mark.parametrize("seed", range(8))
def test_boxed_offsets_are_legal(seed: int, epsilon: float) -> None:
    for lives in (random_lives(seed), dense_lives(seed)):
        offsets = boxed_offsets(lives, epsilon)
        assert set(offsets) == set(lives)
        arena_bytes = max(low + life.bytes for life, low in offsets.items())
        check_layout(lives, Layout({life.storage: low for life, low in offsets.items()}, arena_bytes))


def test_colouring_needs_as_many_rows_as_live_at_once() -> None:
    for seed in range(10):
        jobs = unit_jobs(seed)
        coloured = rows(jobs)
        assert max(row for row, _ in coloured) + 1 == most_at_once(jobs)
        for row in range(most_at_once(jobs)):
            assert most_at_once([job for at, job in coloured if at == row]) == 1


@pytest.mark.parametrize("high", [1, 3, 8])
def test_groups_hold_all_and_no_more_live_at_once_than_fit(high: int) -> None:
    for seed in range(5):
        jobs = unit_jobs(seed)
        groups = _grouped(jobs, high, 1 / 2)
        assert sorted(map(id, jobs)) == sorted(id(job) for group in groups for job in group)
        assert max(most_at_once(group) for group in groups) == high


def test_strips_leave_over_the_first_to_begin_and_the_last_to_end() -> None:
    draw = random.Random(4)
    jobs = [Box(draw.randint(0, 19), draw.randint(21, 59), 10) for _ in range(100)]
    groups, left = _strips(jobs, 2, 1 / 2)
    assert len(left) == 2 * 2 * 4
    assert sorted(map(id, jobs)) == sorted(id(job) for group in [*groups, left] for job in group)
    assert all(len(group) <= 2 for group in groups)
    assert sorted(job.start for job in left)[:8] == sorted(job.start for job in jobs)[:8]
    inside = [job for group in groups for job in group]
    assert max(job.end for job in inside) <= min(job.end for job in sorted(left, key=lambda job: -job.end)[:8])
    assert _strips(jobs[:16], 2, 1 / 2) == ([], jobs[:16])


def test_boxes_hold_their_contents_without_much_waste_where_all_live_together() -> None:
    jobs = [Box(0, 10, 4) for _ in range(64)]
    boxes = in_boxes(jobs, 8, 1 / 2)
    assert len(boxes) == 32
    assert all(box.bytes == 8 and box.row_bytes == 4 and (box.start, box.end) == (0, 10) for box in boxes)


def test_sizes_of_one_class_share_boxes_and_others_do_not() -> None:
    jobs = [Box(0, 1, size) for size in (16, 15, 14, 2)]
    boxes = in_boxes(jobs, 64, 1 / 2)
    assert [sorted(content.bytes for content in box.contents) for box in boxes] == [[2], [14, 15, 16]]


def test_one_size_packs_at_the_live_peak() -> None:
    draw = random.Random(3)
    starts = [draw.randint(0, 30) for _ in range(60)]
    lives = tuple(Lifetime(at, start, start + draw.randint(1, 9), 64) for at, start in enumerate(starts))
    offsets = boxed_offsets(lives, 1)
    assert max(offsets.values()) + 64 == lifetimes_curve(lives).max()


def test_nothing_and_no_bytes() -> None:
    assert boxed_offsets((), 1 / 2) == {}
    assert len(boxed_offsets((Lifetime(0, 0, 1, 0), Lifetime(1, 0, 2, 0)), 1 / 2)) == 2
