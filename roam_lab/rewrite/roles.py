"""Which gaps are alike. Models repeat blocks (layers); gaps of corresponding storages of all blocks have one *role*."""

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
    """The roles of a problem's gaps.

    Two gaps have one role if they agree in: the path of the op's module without its numbers, phase, target, the op's
    place among those of its module with that target, which of its results, bytes, and which gap of the storage. A block
    is named by the module's path up to its first number (coarse), or up to its second (fine).
    """
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
