"""Rewritings made by hand that move storages to the host between two of their uses, and copies that run late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from roam_lab.ir import Op, Origin, Rewritten, Storage
from roam_lab.runtime.host_memory import PlainCopies

COPY = "roam::copy"


def offloaded(rewritten: Rewritten, seed: int, share: float = 0.5) -> Rewritten:
    """Some storages go to the host between two of their uses, and come back to another place; ops stand in the order
    in which they run. Where the copies stand in the gap is drawn at random; a storage may go more than once."""
    draw = np.random.default_rng(seed)
    for storage in draw.permutation(len(rewritten.graph.storages)):
        if draw.random() < share:
            rewritten = _moved(rewritten, int(storage), draw)
    return rewritten


def _moved(rewritten: Rewritten, storage: int, draw: np.random.Generator) -> Rewritten:
    graph = rewritten.graph
    info = graph.storages[storage]
    uses = [index for index, op in enumerate(graph.ops) if storage in (*op.creates, *op.touches)]
    gaps = [(before, after) for before, after in pairwise(uses) if after - before > 1]
    if info.output or info.always_there or info.kind == "workspace" or not info.bytes or not gaps:
        return rewritten
    before, after = gaps[draw.integers(len(gaps))]
    out = int(draw.integers(before + 1, after + 1))
    back = int(draw.integers(out, after + 1))
    there, again = len(graph.storages), len(graph.storages) + 1
    storages = (*graph.storages, Storage(info.bytes, region="host"), replace(info, region="arena"))
    place = [index + (index >= out) + (index >= back) for index in range(len(graph.ops))]
    used = tuple(place[index] for index in uses if index < out)
    ops, origins = list[Op](), list[Origin]()
    for index, (op, origin) in enumerate(zip(graph.ops, rewritten.origins, strict=True)):
        if index == out:
            ops.append(Op(f"to_host_{storage}", COPY, used, (there,), (storage,), pure=True))
            origins.append(Origin((), copies=(storage, there)))
        if index == back:
            ops.append(Op(f"from_host_{storage}", COPY, (out,), (again,), (there,), pure=True))
            origins.append(Origin((), copies=(there, again)))
        waits = tuple(place[other] for other in op.after)
        if index >= after and index in uses:
            op, origin = _renamed(op, origin, lambda one: again if one == storage else one)
            waits = tuple(sorted({*waits, back + 1}))
        ops.append(replace(op, after=waits))
        origins.append(origin)
    return Rewritten(replace(graph, storages=storages, ops=tuple(ops)), tuple(origins))


def _renamed(op: Op, origin: Origin, name: Callable[[Any], Any]) -> tuple[Op, Origin]:
    def each(places: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(map(name, places))

    op = replace(op, creates=each(op.creates), reads=each(op.reads), writes=each(op.writes), reuse=())
    places = (each(one) for one in (origin.reads, origin.results, origin.writes))
    copies = None if origin.copies is None else (name(origin.copies[0]), name(origin.copies[1]))
    return op, Origin(origin.ops, *places, copies=copies)


class LateCopies(PlainCopies):
    """Each copy runs at a moment drawn at random between its start and its end, one after the other, as on a stream of
    their own."""

    seed, started, late = 0, 0, 0

    def __init__(self) -> None:
        self._draw = np.random.default_rng(self.seed)
        self._waiting: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    def start(self, number: int, target: torch.Tensor, source: torch.Tensor) -> None:
        LateCopies.started += 1
        self._waiting.append((number, target, source))
        while self._waiting and self._draw.random() < 0.3:
            self._run()

    def end(self, number: int) -> None:
        LateCopies.late += any(one == number for one, _, _ in self._waiting)
        while any(one == number for one, _, _ in self._waiting):
            self._run()

    def settle(self) -> None:
        while self._waiting:
            self._run()

    def _run(self) -> None:
        _, target, source = self._waiting.pop(0)
        target.copy_(source)
