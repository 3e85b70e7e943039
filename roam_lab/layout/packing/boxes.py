"""Boxing: buffers of like size are packed into boxes of one size, boxes into larger ones (Buchsbaum et al. 2003)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import groupby
from math import ceil, log

from roam_lab.ir import Lifetime


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of `bytes` bytes during the steps [start, end). It holds one `buffer`, or `contents` in rows of
    `row_bytes` bytes."""

    start: int
    end: int
    bytes: int
    row_bytes: int = 0
    contents: tuple[Box, ...] = ()
    buffer: Lifetime | None = None


def boxed_offsets(lifetimes: Iterable[Lifetime], epsilon: float) -> dict[Lifetime, int]:
    """A legal byte offset for each buffer, by boxing until all boxes have one size. Much is left empty in the boxes.

    Theorem 16, in two rounds: buffers of at most `epsilon`² times the largest size are put into boxes of `epsilon`
    times it (corollary 15); then all go into boxes of 1/`epsilon` times the largest size. These are of one size,
    and boxes of one size pack without loss by colouring their interval graph. 0 < `epsilon` <= 1.
    """
    jobs = [Box(life.start, life.end, max(life.bytes, 1), buffer=life) for life in lifetimes]
    if not jobs:
        return {}
    largest = max(job.bytes for job in jobs)
    size, boxes = largest, jobs
    if any(job.bytes < largest for job in jobs):
        limit, size = int(epsilon * epsilon * largest), ceil(largest / epsilon)
        boxes = in_boxes([job for job in jobs if job.bytes <= limit], max(int(epsilon * largest), 1), epsilon)
        boxes = in_boxes([*boxes, *(job for job in jobs if job.bytes > limit)], size, epsilon)
    offsets: dict[Lifetime, int] = {}
    for row, box in rows(boxes):
        _unbox(box, row * size, offsets)
    return offsets


def _unbox(box: Box, low: int, offsets: dict[Lifetime, int]) -> None:
    if box.buffer is not None:
        offsets[box.buffer] = low
    for row, content in rows(box.contents):
        _unbox(content, low + row * box.row_bytes, offsets)


def rows(jobs: Iterable[Box]) -> list[tuple[int, Box]]:
    """(row, job) for each job, such that jobs in one row never live at once. The number of rows is the most jobs that
    live at once, which is the least possible."""
    free: list[int] = []
    taken: list[tuple[int, int]] = []
    found, count = [], 0
    for job in sorted(jobs, key=lambda job: (job.start, job.end)):
        while taken and taken[0][0] <= job.start:
            heappush(free, heappop(taken)[1])
        if not free:
            heappush(free, count)
            count += 1
        row = heappop(free)
        heappush(taken, (job.end, row))
        found.append((row, job))
    return found


def in_boxes(jobs: Sequence[Box], size: int, epsilon: float) -> list[Box]:
    """Corollary 15: jobs of at most `size` bytes, put into boxes of `size` bytes, one class of job sizes to a box.

    A class holds the sizes between two neighbouring powers of 1 + `epsilon`. Its jobs are rounded up to the largest of
    them, where the paper rounds to the power.
    """
    found = []
    by_class = sorted(jobs, key=lambda job: (_class(job, epsilon), job.start, job.end))
    for _, alike in groupby(by_class, key=lambda job: _class(job, epsilon)):
        members = list(alike)
        row_bytes = max(job.bytes for job in members)
        for contents in _grouped(members, size // row_bytes, epsilon):
            start, end = min(job.start for job in contents), max(job.end for job in contents)
            found.append(Box(start, end, size, row_bytes, tuple(contents)))
    return found


def _class(job: Box, epsilon: float) -> int:
    return ceil(log(job.bytes) / log(1 + epsilon) - 1e-9)


def _grouped(jobs: list[Box], high: int, epsilon: float) -> list[list[Box]]:
    """Theorem 2: jobs of one size in groups, such that at most `high` jobs of a group live at once.

    Jobs that live at the critical moment (the median start) are grouped by lemma 1; those before it and those after it
    are treated in the same way, level by level. The jobs of one level that lemma 1 leaves over are put into rows, and
    `high` rows make a group.
    """
    found: list[list[Box]] = []
    parts = [jobs]
    while parts:
        below: list[list[Box]] = []
        left: list[Box] = []
        for part in parts:
            moment = sorted(job.start for job in part)[len(part) // 2]
            groups, outer = _strips([job for job in part if job.start <= moment < job.end], high, epsilon)
            found += groups
            left += outer
            below += [[job for job in part if job.end <= moment], [job for job in part if job.start > moment]]
        coloured = sorted(rows(left), key=lambda pair: pair[0])
        for _, group in groupby(coloured, key=lambda pair: pair[0] // high):
            found.append([job for _, job in group])
        parts = [part for part in below if part]
    return found


def _strips(jobs: list[Box], high: int, epsilon: float) -> tuple[list[list[Box]], list[Box]]:
    """Lemma 1: of jobs that all live at one moment, groups of `high` jobs, and the jobs that are left over.

    Left over are the jobs that begin first and those that end last. Of the others, a strip of those that begin first is
    grouped by end, then a strip of those that end last by start, by turns, so that the lifetimes in a group are alike.
    """
    outer, inner = high * ceil(1 / epsilon**2), high * ceil(1 / epsilon)
    if len(jobs) <= 2 * outer:
        return [], jobs
    inside = sorted(jobs, key=lambda job: (job.start, job.end))
    left, inside = inside[:outer], sorted(inside[outer:], key=lambda job: (-job.end, job.start))
    left, inside = left + inside[:outer], inside[outer:]
    groups, by_start = [], True
    while inside:
        inside.sort(key=(lambda job: (job.start, job.end)) if by_start else (lambda job: (-job.end, job.start)))
        strip, inside = inside[:inner], inside[inner:]
        strip.sort(key=(lambda job: (job.end, job.start)) if by_start else (lambda job: (job.start, job.end)))
        groups += [strip[at : at + high] for at in range(0, len(strip), high)]
        by_start = not by_start
    return groups, left
