"""Which gaps are alike: the same storage of the same op in every repeated block of the model."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from roam_lab.rewrite.tape import Ints, Problem

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """`of_gap`: the role of each gap. `levels`: ways to see the model as repeated blocks, coarse and fine; each says
    for every gap the block that its storage is made in, -1 for none."""

    of_gap: Ints
    levels: tuple[Ints, ...]


def roles_of(problem: Problem) -> Roles:
    """A role is a module's path without its numbers, phase, target, which op of them, which result, size, which gap; a
    block is what a module's path has up to its first number, or up to its second."""
    graph, tape = problem.graph, problem.tape
    roles: dict[Hashable, int] = {}
    seen: dict[Hashable, int] = {}
    blocks: tuple[dict[str, int], ...] = ({}, {})
    of_gap = np.full(len(tape.gap_instruction), -1, dtype=np.int32)
    levels = tuple(np.full(len(tape.gap_instruction), -1, dtype=np.int32) for _ in blocks)
    for op in graph.ops:
        path = op.module or ""
        alike = (_DIGITS.sub("", path), op.phase, op.target)
        here = (path, op.phase, op.target)
        seen[here] = seen.get(here, -1) + 1
        ends = [number.end() for number in _DIGITS.finditer(path)]
        for result, storage in enumerate(op.creates):
            gaps = range(tape.gap_at[storage], tape.gap_at[storage + 1])
            for which, gap in enumerate(gaps):
                key = (*alike, seen[here], result, graph.storages[storage].bytes, which)
                of_gap[gap] = roles.setdefault(key, len(roles))
                for level, (known, end) in enumerate(zip(blocks, ends, strict=False)):
                    levels[level][gap] = known.setdefault(path[:end], len(known))
    return Roles(of_gap, tuple(level for level, known in zip(levels, blocks, strict=True) if len(known) > 1))
