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
    """`of_gap`: the role of each gap; `block`: the repeated block that its storage is made in, -1 for none; `members`:
    the gaps of each role, in the order of their storages; `names`: what each role is."""

    of_gap: Ints
    block: Ints
    members: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    blocks: tuple[str, ...]


def roles_of(problem: Problem) -> Roles:
    """A role is a module's path without its numbers, phase, target, which op of them, which result, size, which gap; a
    block is what a module's path has up to its first number."""
    graph, tape = problem.graph, problem.tape
    keys: dict[Hashable, int] = {}
    names: list[str] = []
    blocks: dict[str, int] = {}
    seen: dict[Hashable, int] = {}
    of_gap = np.full(len(tape.gap_instruction), -1, dtype=np.int32)
    block = np.full(len(tape.gap_instruction), -1, dtype=np.int32)
    members: list[list[int]] = []
    for op in graph.ops:
        path = op.module or ""
        here = (path, op.phase, op.target)
        seen[here] = seen.get(here, -1) + 1
        number = _DIGITS.search(path)
        where = -1 if number is None else blocks.setdefault(path[: number.end()], len(blocks))
        for result, storage in enumerate(op.creates):
            for which, gap in enumerate(range(tape.gap_at[storage], tape.gap_at[storage + 1])):
                key = (
                    _DIGITS.sub("", path),
                    op.phase,
                    op.target,
                    seen[here],
                    result,
                    graph.storages[storage].bytes,
                    which,
                )
                role = keys.setdefault(key, len(keys))
                if role == len(members):
                    members.append([])
                    names.append(f"{key[0]} {op.target} #{seen[here]}.{result} gap {which}")
                members[role].append(gap)
                of_gap[gap] = role
                block[gap] = where
    return Roles(of_gap, block, tuple(map(tuple, members)), tuple(names), tuple(blocks))
