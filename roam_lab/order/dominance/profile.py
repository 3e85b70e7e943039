"""Hills and valleys: a chain of jobs, reduced to the live bytes that matter to any larger schedule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from roam_lab.order.reduce.jobs import Job, join


def canonical(chain: Sequence[Job]) -> list[Job]:
    """The chain joined into its hills and valleys: the fewest jobs that can stand for it in any larger schedule.

    Up to the lowest valley of all, each job leads to a lower valley over a higher hill than the one before it; from
    there on, it is the same with time running backwards. (Liu 1987; Abdel-Wahab and Kameda 1978.)
    """
    level = lowest = at = 0
    for number, job in enumerate(chain, 1):
        level += job.net_bytes
        if level <= lowest:
            lowest, at = level, number
    before = [(job.hill_bytes, job.net_bytes) for job in chain[:at]]
    behind = [(job.hill_bytes - job.net_bytes, -job.net_bytes) for job in reversed(chain[at:])]
    count = len(chain)
    bounds = [0, *descents(before), *(count - end for end in reversed(descents(behind)[:-1])), count]
    return [join(chain[first:last]) for first, last in pairwise(bounds) if first < last]


def descents(jobs: Sequence[tuple[int, int]]) -> list[int]:
    """Where to cut a chain of (hill, net) that ends in its lowest valley: the end of each joined job."""
    joined: list[tuple[int, int, int]] = []  # hill, net, end
    for end, (hill, net) in enumerate(jobs, 1):
        current = (hill, net, end)
        while joined:
            hill, net, _ = joined[-1]
            # A job that ends no lower is of no use yet; one over no higher a hill may follow at once.
            if net < 0 and (current[1] > 0 or net + current[0] > hill):
                break
            joined.pop()
            current = (max(hill, net + current[0]), net + current[1], end)
        joined.append(current)
    return [end for _, _, end in joined]


def moments(chain: Iterable[Job]) -> list[int]:
    """Bytes above the start: at the start, then during and after each job in turn."""
    found = [0]
    for job in chain:
        level = found[-1]
        found += [level + job.hill_bytes, level + job.net_bytes]
    return found


def dominates(one: Sequence[Job], other: Sequence[Job]) -> bool:
    """Whether `one` can be delayed, never reversed, so that at no aligned moment it holds more than `other`.

    Then it may take the other's place inside any larger schedule. Takes O(moments of one * moments of the other).
    """
    mine, theirs = moments(one), moments(other)
    # reached[place + 1]: whether `one` can stand at `place` while the other stands where it does, all well so far
    reached = [True] + [False] * len(mine)
    for most in theirs:
        previous, reached = reached, [False]
        for place, held in enumerate(mine):
            come = reached[place] or previous[place] or previous[place + 1]
            reached.append(come and held <= most)
    return reached[-1]
