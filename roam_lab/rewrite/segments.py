"""Segments: groups of neighbouring blocks of the model, and the storages that one passes on to the next."""

from __future__ import annotations

import numpy as np

from roam_lab.rewrite.tape import Ints, Problem


def segments(problem: Problem, level: Ints, length: int) -> Ints:
    """For each op of the tape, the number of its segment of `length` neighbouring blocks of `level` (see Roles); -1
    outside of blocks."""
    tape = problem.tape
    block = np.full(len(problem.order), -1, dtype=np.int32)
    for number in range(len(block)):
        if tape.makes_at[number] < tape.makes_at[number + 1]:
            block[number] = level[tape.gap_at[tape.makes[tape.makes_at[number]]]]
    return np.where(block >= 0, block // length, -1).astype(np.int32)


def handed_on(problem: Problem, segment: Ints) -> frozenset[int]:
    """The storages that a segment's forward ops read and that are made outside of that segment's forward pass."""
    tape, ops = problem.tape, problem.graph.ops
    crossing: set[int] = set()
    for number, op in enumerate(problem.order):
        if ops[op].phase == "forward" and segment[number] >= 0:
            for storage in tape.reads[tape.reads_at[number] : tape.reads_at[number + 1]].tolist():
                if segment[tape.creator[storage]] != segment[number]:
                    crossing.add(storage)
    return frozenset(crossing)


def forward_end(problem: Problem) -> int:
    """The last instruction of the forward pass; -1 if the graph does not say which ops are of it."""
    tape, ops = problem.tape, problem.graph.ops
    instruction = np.repeat(np.arange(len(tape.group_at) - 1), np.diff(tape.group_at))
    forward = [number for number, op in enumerate(problem.order) if ops[op].phase == "forward"]
    return int(instruction[forward[-1]]) if forward else -1
