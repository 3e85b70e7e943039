"""Offload: storages that are not used around the peak are copied to the host and back while other ops run.

vDNN (arXiv 1602.08124) moves the activations that the forward pass saves for the backward pass, layer by layer. Here
any storage may move, in any gap between two of its uses, wherever the live bytes are at their peak.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir.graph import Device
from roam_lab.ir.host_copies import copy_us, waited_us
from roam_lab.ir.memory import captured_order, live_curve
from roam_lab.ir.rewritten import Rewritten
from roam_lab.rewrite.host_link import HostLink
from roam_lab.rewrite.host_moves import HostMove, with_moves

WAITS = 0.01
"""The most that ops may wait for copies, as a fraction of the ops' time; the wait is part of a point's extra time."""
LEAST_SHARE = 1e-3
"""A storage smaller than this fraction of the peak is not moved."""


def offload(rewritten: Rewritten, device: Device, target: int = 0) -> Rewritten:
    """`rewritten` with storages moved to the host until its live peak is at most `target` bytes, or as low as copies
    that are hidden behind ops allow. Its ops must have times and stand in running order. `rewritten` itself where no
    move helps.

    At the peak the storage with the longest gap there is moved, again and again. Its copy to the host runs as early as
    the link is free, its copy back as late. Deterministic; one round for each storage that moves.
    """
    plan = _Plan(rewritten, device)
    while plan.peak > target and plan.lower():
        pass
    moves = plan.needed(target)
    most = WAITS * sum(op.time_us or 0.0 for op in rewritten.graph.ops)
    while moves:
        made = with_moves(rewritten, moves)
        if waited_us(made, captured_order(made.graph), device) <= most:
            return made
        moves.pop()  # copies run in the sequence of their ops, which can differ from that of the link's stretches
    return rewritten


class _Plan:
    """The gaps of all storages between two of their uses, and the moves chosen so far."""

    def __init__(self, rewritten: Rewritten, device: Device) -> None:
        graph = rewritten.graph
        self._link = HostLink()
        lasting = [op.time_us or 0.0 for op in graph.ops]
        self._begins = np.concatenate([[0.0], np.cumsum(lasting)])  # op -> when it begins
        last_write = dict[int, int]()
        last_use = dict[int, int]()
        gaps: list[tuple[int, int, int, int]] = []  # storage, its last write, last use before, first use after
        for index, op in enumerate(graph.ops):
            for storage in graph.uses[index]:
                stays = graph.storages[storage].output
                if not stays and storage in last_use and index - last_use[storage] > 1:
                    gaps.append((storage, last_write[storage], last_use[storage], index))
                last_use[storage] = index
            last_write.update(dict.fromkeys((*op.creates, *op.writes), index))
        self._curve = np.array(live_curve(graph, captured_order(graph)), dtype=np.int64)
        table = np.array(gaps, dtype=np.int64).reshape(-1, 4)
        size = np.array([storage.bytes for storage in graph.storages], dtype=np.int64)
        table = table[size[table[:, 0]] >= max(1, LEAST_SHARE * self.peak)]
        width = self._begins[table[:, 3]] - self._begins[table[:, 2] + 1]
        table = table[np.argsort(-width, kind="stable")]
        self._storage, self._written, before, self._after = table.T
        self._bytes = size[self._storage]
        self._us = np.array([copy_us(int(one), device) for one in self._bytes])
        # where a gap was seen to be too short for the peaks around: its copy out ends no sooner, back begins no later
        self._soonest, self._latest = before + 1, self._after.copy()
        self._moves: list[tuple[int, int, int]] = []  # gap, op before which it is out, op before which it comes back

    @property
    def peak(self) -> int:
        """The live peak, in bytes."""
        return int(self._curve.max(initial=0))

    def lower(self) -> bool:
        """Move one storage that is live at the peak; False if none can be moved."""
        at = int(self._curve.argmax())
        around = np.flatnonzero((self._soonest <= at) & (self._latest > at)).tolist()
        return any(self._moved(gap, at) for gap in around)

    def _moved(self, gap: int, at: int) -> bool:
        lasts = float(self._us[gap])
        begin = self._link.earliest(float(self._begins[self._written[gap] + 1]), lasts)
        out = max(int(np.searchsorted(self._begins, begin + lasts)), int(self._soonest[gap]))
        self._soonest[gap] = out
        start = self._link.latest(float(self._begins[self._after[gap]]), lasts)
        back = int(np.searchsorted(self._begins, start, side="right")) - 1
        self._latest[gap] = min(back, int(self._latest[gap]))
        if not out <= at < back or start < begin + lasts:
            return False
        self._link.take(begin, begin + lasts)
        self._link.take(start, start + lasts)
        self._curve[out:back] -= self._bytes[gap]
        self._soonest[gap] = len(self._curve)  # a gap is spent on the host once
        self._moves.append((gap, out, back))
        return True

    def needed(self, target: int) -> list[HostMove]:
        """The moves without those that a peak of `target` bytes does not need; copies before one op stand in the
        sequence of the link."""
        most = max(self.peak, target)
        kept: list[tuple[int, int, int]] = []
        for gap, out, back in reversed(self._moves):
            curve: NDArray[np.int64] = self._curve[out:back]
            if int(curve.max()) + int(self._bytes[gap]) <= most:
                curve += self._bytes[gap]
            else:
                kept.append((gap, out, back))
        return [HostMove(int(self._storage[gap]), out, back) for gap, out, back in reversed(kept)]
