"""Independent chains of jobs merged into one: in what order to take their hills."""

from __future__ import annotations

from collections.abc import Sequence

from roam_lab.order.dominance.profile import canonical
from roam_lab.order.reduce.jobs import Job


def merged(chains: Sequence[Sequence[Job]]) -> list[Job]:
    """The dominant way to interleave canonical chains that have nothing to do with each other, itself canonical.

    First all jobs that lower the memory, the least hill first: each makes room for the next. Then those that raise it,
    by hill minus valley, the largest first. Within a canonical chain jobs stand in that order already. Ties by
    chain. (Liu 1987; Abdel-Wahab and Kameda 1978.)
    """
    return canonical(sorted((job for chain in chains for job in chain), key=_turn))


def _turn(job: Job) -> tuple[bool, int]:
    if job.net_bytes <= 0:
        return False, job.hill_bytes
    return True, job.net_bytes - job.hill_bytes
