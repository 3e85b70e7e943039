"""Which graphs a report is about, and what they are called."""

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
    """The step as eager PyTorch runs it, where capture tells it apart from what is planned."""
    return profile.eager_graph or profile.graph


def captured_name(profile: Profile | None) -> str:
    """Whose peak and reservation it is that the captured order has: "eager", the step as eager PyTorch runs it, where
    a profile knows it, or "captured", the planned graph in the same order."""
    return "captured" if profile is None else "eager"


def captured_label(profile: Profile | None) -> str:
    """The captured order, with the graph that it is of."""
    return f"captured order ({'planned graph' if profile is None else 'eager'})"


def planned_label(plan: Plan) -> str:
    """The planned run, with what made it."""
    if plan.rewrites:
        costs = f", {100 * plan.extra_time:+.1f} % time" if plan.extra_time > 0 else ""
        return f"rewritten ({plan.rewrite_strategy}{costs})"
    return f"planned order ({plan.order_strategy})"
