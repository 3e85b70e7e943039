"""How far each of several independent chains has run when memory changes for all: chosen for the least hill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from roam_lab.order.dominance.profile import descents
from roam_lab.order.effort import Effort, SpentError

Array = NDArray[np.int64]
HillNet = tuple[int, int]
"""A job's hill and its net change, in bytes."""

PHASES = 3
STEPS = 10
"""How many steps of effort an option counts as that is tried."""


@dataclass(frozen=True, slots=True)
class Hill:
    """Jobs [first, last) of a chain: they lead over a hill of `key_bytes` above the lower of their two ends."""

    key_bytes: int
    net_bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Option:
    """What a chain does if job `stand` is the first that it runs after the moment.

    `phases`: for each of three phases, the bytes that the chain holds when it begins, and the chain's hills in it, by
    rising key. The first leads down from the chain's start to its lowest place before the moment; the second from there
    up to `stand` (given with time reversed, from `stand` on); the third, after the moment, from `stand` down to its
    lowest place.
    """

    stand: int
    phases: tuple[tuple[int, list[Hill]], ...]


class Crossing:
    """A moment at which `change_bytes` are added to what independent chains hold together (below 0: a storage freed).

    Each chain may have run up to any of its `stands` then. Wanted are those stands for which the way from the common
    start to a state after the moment that is no higher leads over the least hill.

    For given stands, that way is Liu's order of independent chains, twice. Before the moment all hills that lead down
    come first, the least hill first, then all that lead up, by their height above the end, the largest first. After it
    come hills that lead down, the least first, until the state is no higher than the start. In each of these three
    phases, when a hill of key k is climbed, every chain has run just its hills of smaller keys (on the way up: these
    are still ahead). So what it holds then depends on k and its own stand alone, and the peak is the largest sum, over
    the keys k that occur, of k and of what each chain holds. (A key that does not occur, while a larger one of its
    phase does, makes no difference: as much is held at the next larger key.)

    So each stand of a chain is a row of bytes, with a column for each key, and one row of each chain is to be chosen so
    that the largest entry of their sum is least. Rows that are nowhere below another row of their chain are dropped.
    The rest is branch and bound: a chain whose row is not yet chosen adds to each column at least the least entry of
    its rows. In the worst case every choice is tried, and their number is exponential in the number of chains.
    """

    def __init__(self, chains: Sequence[Sequence[HillNet]], stands: Sequence[range], change_bytes: int) -> None:
        self.change_bytes = change_bytes
        self.steps = sum(len(chain) * len(own) for chain, own in zip(chains, stands, strict=True))
        options = [[_option(chain, at) for at in own] for chain, own in zip(chains, stands, strict=True)]
        grids = [_keys(options, phase) for phase in range(PHASES)]
        self.ends = np.cumsum([len(grid) for grid in grids])
        self.begins = self.ends - [len(grid) for grid in grids]
        self.keys = np.concatenate(grids)
        self.keys[self.begins[2] :] += change_bytes
        self.column = np.arange(len(self.keys))
        self.options: list[list[Option]] = []
        self.held: list[Array] = []  # of each chain, by option: bytes for each key
        self.tops: list[Array] = []  # of each chain, by option: the column after its largest key in each phase
        for own in options:
            rows = [[_levels(*phase, grid) for phase, grid in zip(option.phases, grids, strict=True)] for option in own]
            held = np.array([np.concatenate(row) for row in rows])
            tops = np.array(
                [[_top(hills, grid) for (_, hills), grid in zip(o.phases, grids, strict=True)] for o in own]
            )
            tops += self.begins
            kept = _undominated(np.concatenate([held, tops], 1))
            self.options.append([own[at] for at in kept])
            self.held.append(held[kept])
            self.tops.append(tops[kept])
        spread = [int((held.max(0) - held.min(0)).sum()) for held in self.held]
        self.turn = sorted(range(len(chains)), key=lambda chain: (-spread[chain], chain))
        # Least bytes that the chains from each turn on add.
        self.least_held = [np.zeros(len(self.keys), np.int64)]
        self.least_tops: list[Array] = [self.begins]
        for chain in reversed(self.turn):
            self.least_held.append(self.least_held[-1] + self.held[chain].min(0))
            self.least_tops.append(np.maximum(self.least_tops[-1], self.tops[chain].min(0)))
        self.least_held.reverse()
        self.least_tops.reverse()

    def _peaks(self, held: Array, tops: Array) -> Array:
        """The peak for each row of bytes by key, and of the column after the largest key that occurs by phase."""
        occurs = np.zeros(held.shape, bool)
        for phase in range(PHASES):
            own = slice(self.begins[phase], self.ends[phase])
            occurs[:, own] = self.column[own] < tops[:, phase : phase + 1]
        after = slice(self.begins[2], self.ends[2])
        occurs[:, after] &= held[:, after] + self.change_bytes > 0
        peaks: Array = np.where(occurs, held + self.keys, 0).max(1, initial=0)
        return peaks

    def _bound(self) -> int:
        return int(self._peaks(self.least_held[0][None], self.least_tops[0][None])[0])

    def solve(self, below_bytes: int, effort: Effort) -> list[int] | int:
        """For each chain, the number of its option for the least hill. Raises SpentError.

        If no hill is below `below_bytes`: bytes that no hill is below.
        """
        effort.work -= self.steps
        if effort.work <= 0 or effort.late:
            raise SpentError
        if (bound := self._bound()) >= below_bytes:
            return bound
        best, chosen = self._tried()
        found = best < below_bytes
        best, cut = min(best, below_bytes), 2**62
        stack = [self._children(0, np.zeros(len(self.keys), np.int64), self.begins, [])]
        visits = 0
        while stack and best > bound:
            child = next(stack[-1], None)
            if child is None:
                stack.pop()
                continue
            peak, held, tops, picks = child
            if peak >= best:  # and so are the other children, which come by rising peak
                cut = min(cut, peak)
                stack.pop()
                continue
            if len(picks) == len(self.turn):
                best, found = peak, True
                chosen = [at for _, at in sorted(zip(self.turn, picks, strict=True))]
                continue
            visits += 1
            effort.work -= STEPS * len(self.options[self.turn[len(picks)]])
            if effort.work <= 0 or (not visits & 63 and effort.late):
                raise SpentError
            stack.append(self._children(len(picks), held, tops, picks))
        return chosen if found else cut

    def _children(
        self, depth: int, held: Array, tops: Array, picks: list[int]
    ) -> Iterator[tuple[int, Array, Array, list[int]]]:
        chain = self.turn[depth]
        all_held = held + self.held[chain]
        all_tops = np.maximum(tops, self.tops[chain])
        peaks = self._peaks(all_held + self.least_held[depth + 1], np.maximum(all_tops, self.least_tops[depth + 1]))
        for at in np.argsort(peaks, kind="stable"):
            yield int(peaks[at]), all_held[at], all_tops[at], [*picks, int(at)]

    def _tried(self) -> tuple[int, list[int]]:
        """The peak of a good choice, and the choice: each chain in turn takes its best option until none changes."""
        chosen = [0] * len(self.options)
        best = -1
        while True:
            for chain in self.turn:
                held, tops = self.held[chain].copy(), self.tops[chain].copy()
                for other in set(self.turn) - {chain}:
                    held += self.held[other][chosen[other]]
                    np.maximum(tops, self.tops[other][chosen[other]], out=tops)
                peaks = self._peaks(held, tops)
                if peaks.min() < peaks[chosen[chain]]:
                    chosen[chain] = int(peaks.argmin())
                peak = int(peaks[chosen[chain]])
            if peak == best:
                return best, chosen
            best = peak

    def way(self, chosen: Sequence[int]) -> list[tuple[int, int, int]]:
        """The jobs in the order in which they run, each run as (chain, first job, job after the last)."""
        picked = [options[at] for options, at in zip(self.options, chosen, strict=True)]
        down, up, after = (
            sorted(
                (
                    (hill.key_bytes, chain, at, hill)
                    for chain, one in enumerate(picked)
                    for at, hill in enumerate(one.phases[phase][1])
                ),
                key=lambda turn: turn[:3],
            )
            for phase in range(PHASES)
        )
        run = [(chain, hill.first, hill.last) for _, chain, _, hill in down + up[::-1]]
        held = self.change_bytes + sum(option.phases[2][0] for option in picked)
        for _, chain, _, hill in after:
            if held <= 0:
                break
            run.append((chain, hill.first, hill.last))
            held += hill.net_bytes
        return run


def _option(chain: Sequence[HillNet], stand: int) -> Option:
    level, levels = 0, [0]
    for _, net in chain:
        level += net
        levels.append(level)
    low = min(range(stand + 1), key=lambda at: (levels[at], -at))
    last = min(range(stand, len(levels)), key=lambda at: (levels[at], -at))
    back = [(hill - net, -net) for hill, net in reversed(chain[low:stand])]
    up = [Hill(hill.key_bytes, hill.net_bytes, stand - hill.last, stand - hill.first) for hill in _hills(back, 0)]
    start = levels[stand]
    return Option(stand, ((0, _hills(chain[:low], 0)), (start, up), (start, _hills(chain[stand:last], stand))))


def _hills(chain: Sequence[HillNet], start: int) -> list[Hill]:
    """The hills of a chain that ends in its lowest place."""
    found = []
    for first, last in pairwise([0, *descents(chain)]):
        level = top = 0
        for hill, net in chain[first:last]:
            top = max(top, level + hill)
            level += net
        found.append(Hill(top, level, start + first, start + last))
    return found


def _keys(options: Sequence[Sequence[Option]], phase: int) -> Array:
    """The keys of a phase that occur in any option, ascending."""
    return np.unique(
        np.array([h.key_bytes for own in options for option in own for h in option.phases[phase][1]], np.int64)
    )


def _levels(start_bytes: int, hills: Sequence[Hill], keys: Array) -> Array:
    """For each of `keys`, the bytes that are held when the hills of smaller keys have been run."""
    levels = np.cumsum(np.array([start_bytes, *(hill.net_bytes for hill in hills)], np.int64))
    return levels[np.searchsorted(np.array([hill.key_bytes for hill in hills], np.int64), keys)]


def _top(hills: Sequence[Hill], keys: Array) -> int:
    """How many of `keys` are no larger than the largest key of the hills."""
    return int(np.searchsorted(keys, hills[-1].key_bytes)) + 1 if hills else 0


def _undominated(rows: Array) -> list[int]:
    """Numbers of the rows that no other row is below or equal to in every column; of equal rows the first."""
    kept: list[int] = []
    for at in np.argsort(rows.sum(1), kind="stable"):
        if not any((rows[other] <= rows[at]).all() for other in kept):
            kept.append(int(at))
    return sorted(kept)
