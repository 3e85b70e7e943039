"""The graphs that a report is about, and their names in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roam_lab.errors import InputError
from roam_lab.ir import Graph

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.plan.profile import Profile


def graph_of(plan: Plan) -> Graph:
    """The graph inside a plan. Raises InputError for a bare plan, which has none."""
    if plan.graph is None:
        raise InputError("this plan is bare (it has no graph in it), so there is nothing to show; plan without --bare")
    return plan.graph


def eager_graph(profile: Profile) -> Graph:
    """The graph of the step as eager PyTorch runs it; the planned graph where the profile has no other."""
    return profile.eager_graph or profile.graph


def captured_name(profile: Profile | None) -> str:
    """The name of the captured order's figures: "eager" where `profile` knows the step as eager PyTorch runs it, else
    "captured", which is the planned graph in the same order."""
    return "captured" if profile is None else "eager"


def captured_label(profile: Profile | None) -> str:
    """The label of the captured order in figures and tables; it says of which graph."""
    return f"captured order ({'planned graph' if profile is None else 'eager'})"


def planned_label(plan: Plan) -> str:
    """The label of the planned order in figures and tables, with the strategies that made it."""
    if plan.rewrites:
        costs = f", {100 * plan.extra_time:+.1f} % time" if plan.extra_time > 0 else ""
        return f"rewritten ({plan.rewrite_strategy}{costs})"
    return f"planned order ({plan.order_strategy})"
