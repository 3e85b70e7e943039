"""Crossings: the least hill over a moment that changes memory for all chains, against every state."""

from __future__ import annotations

import random
from heapq import heappop, heappush

from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.order.dominance.crossing import Crossing
from roam_lab.order.effort import Effort

SEEDS = st.integers(0, 10**6)
Chains = list[list[tuple[int, int]]]


def random_chains(seed: int) -> tuple[Chains, list[range], int]:
    """Chains whose stands may be any range, and a change after which a state no higher can be reached."""
    draw = random.Random(seed)
    most = draw.choice((9, 40))
    chains: Chains = []
    stands: list[range] = []
    for _ in range(draw.randint(1, 4)):
        chain = []
        for _ in range(draw.randint(1, 5)):
            hill = draw.randint(0, most)
            chain.append((hill, hill - draw.randint(0, most)))
        first = draw.randint(0, len(chain))
        chains.append(chain)
        stands.append(range(first, draw.randint(first, len(chain)) + 1))
    lowest = sum(
        min(sum(net for _, net in chain[:end]) for end in range(own.stop - 1, len(chain) + 1))
        for chain, own in zip(chains, stands, strict=True)
    )
    return chains, stands, -lowest - draw.choice((0, 1, 5, 20))


def least_hill(chains: Chains, stands: list[range], change: int) -> int:
    """By visiting every state, over the least hill first."""

    def held(state: tuple[int, ...], changed: bool) -> int:
        moved = sum(net for chain, end in zip(chains, state, strict=True) for _, net in chain[:end])
        return moved + change * changed

    heap = [(0, (0,) * len(chains), False)]
    seen = set()
    while heap:
        hill, state, changed = heappop(heap)
        if changed and held(state, True) <= 0:
            return hill
        if (state, changed) in seen:
            continue
        seen.add((state, changed))
        if not changed and all(at in own for at, own in zip(state, stands, strict=True)):
            heappush(heap, (hill, state, True))
        for chain, at in enumerate(state):
            if at < len(chains[chain]):
                over = held(state, changed) + chains[chain][at][0]
                heappush(heap, (max(hill, over), (*state[:chain], at + 1, *state[chain + 1 :]), changed))
    raise AssertionError("there is a way")


@settings(max_examples=500, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_the_least_hill_and_a_way_over_it(seed: int) -> None:
    chains, stands, change = random_chains(seed)
    crossing = Crossing(chains, stands, change)
    least = least_hill(chains, stands, change)
    chosen = crossing.solve(least + 1, Effort(10**6))
    assert isinstance(chosen, list)
    # The change comes as early (if it frees) or as late (if it allocates) as the stands allow.
    at = [0] * len(chains)
    levels = [(0, 0)]  # during, after
    moments = [0]
    for chain, first, last in crossing.way(chosen):
        assert first == at[chain]
        for hill, net in chains[chain][first:last]:
            levels.append((levels[-1][1] + hill, levels[-1][1] + net))
        at[chain] = last
        moments += [len(levels) - 1] if _stands(at, stands) else []
    moments = [moment for moment in moments if moment or _stands([0] * len(chains), stands)]
    assert levels[-1][1] + change <= 0
    peaks = [max(during + change * (step > moment) for step, (during, _) in enumerate(levels)) for moment in moments]
    assert min(peaks) == least


def _stands(at: list[int], stands: list[range]) -> bool:
    return all(place in own for place, own in zip(at, stands, strict=True))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_if_no_way_is_below_what_is_asked_the_answer_bounds_them_all(seed: int) -> None:
    chains, stands, change = random_chains(seed)
    least = least_hill(chains, stands, change)
    for below in {0, least // 2, least}:
        answer = Crossing(chains, stands, change).solve(below, Effort(10**6))
        assert isinstance(answer, int)
        assert below <= answer <= least
