"""A plan that one rank makes, sent to all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roam_lab.distributed import Ranks
from roam_lab.errors import RoamError
from roam_lab.plan import Plan
from roam_lab.plan.plan import plan_to_data
from roam_lab.plan.plan_json import plan_from_data


def from_one(ranks: Ranks, rank: int, make: Callable[[], Plan | None]) -> Plan | None:
    """The plan that one rank makes, on all ranks; None where it makes none. Called by all of them together; raises on
    all of them the RoamError that making it raises there."""
    made: Any = None
    if ranks.rank == rank:
        try:
            plan = make()
            made = None if plan is None else plan_to_data(plan)
        except RoamError as error:
            made = error
    made = ranks.from_rank(rank, made)
    if isinstance(made, RoamError):
        raise made
    return None if made is None else plan_from_data(made, f"the plan of rank {rank}")
