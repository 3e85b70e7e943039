"""Reading `roam-plan/2` and `/1`: nothing in a file is trusted, every number that can be computed is compared."""

from __future__ import annotations

import os
from typing import Any

from roam_lab.errors import FormatError, JudgementError, MismatchError
from roam_lab.ir import (
    Graph,
    Layout,
    Origin,
    captured_order,
    check_layout,
    check_order,
    check_rewritten,
    fingerprint,
    graph_from_data,
    lifetimes,
    live_peak,
    read_json,
)
from roam_lab.plan.origins_json import read_origins
from roam_lab.plan.plan import FIRST_FORMAT, FORMAT, Plan
from roam_lab.plan.plan_fields import MOST_SECONDS, PlanFields, short

TIME_TOLERANCE = 1e-3
"""Of the step's time: times are rounded in files."""


def load_plan(path: str | os.PathLike[str], graph: Graph | None = None) -> Plan:
    """Read `roam-plan/2` or `/1` and check every claim against the embedded graph, or against `graph`.

    A bare plan without `graph` is checked as far as it goes by itself. Unknown keys are ignored.
    Raises InputError when the file cannot be read, FormatError (file, place, what to do) when it is not a whole
    plan or claims what is not so, MismatchError when it was made for another graph than `graph`.
    """
    return plan_from_data(read_json(path), str(path), graph)


def plan_from_data(data: dict[str, Any], where: str = "plan", graph: Graph | None = None) -> Plan:
    """Plan of plain `roam-plan/2` or `/1` data; see `load_plan`. `where` names the file in messages."""
    if data.get("format") not in (FORMAT, FIRST_FORMAT):
        raise FormatError(f"{where}: format is {short(data.get('format'))}, not {FORMAT!r}; give a plan's file")
    read = PlanFields(data, where)
    embedded: Graph | None = None
    origins: tuple[Origin, ...] = ()
    rewrites = read.rewrites()
    if data.get("graph") is not None:
        embedded = graph_from_data(read.table("graph"), f"{where}: graph")
        if rewrites:
            origins = read_origins(data["graph"]["ops"], f"{where}: graph")
    sha = read.text("graph_sha256")
    if embedded is not None and not rewrites and fingerprint(embedded) != sha:
        raise FormatError(f"{where}: graph_sha256 is not that of the graph in the file; plan the graph again")
    if graph is not None and fingerprint(graph) != sha:
        raise MismatchError(f"{where}: the plan was made for another graph than {graph.name!r}; plan this one")
    if graph is not None and rewrites and embedded is None:
        raise MismatchError(f"{where}: a bare plan does not hold the graph that its rewrites made; save it whole")
    plan = Plan(
        graph_sha256=sha,
        order=read.integers("order"),
        offsets=read.offsets(),
        arena_bytes=read.integer("arena_bytes"),
        peak_bytes=read.integer("peak_bytes"),
        lower_bound_bytes=read.integer("lower_bound_bytes"),
        captured_peak_bytes=read.integer("captured_peak_bytes"),
        eager_peak_bytes=None if data.get("eager_peak_bytes") is None else read.integer("eager_peak_bytes"),
        optimal=read.flag("optimal"),
        order_strategy=read.text("order_strategy"),
        layout_strategy=read.text("layout_strategy"),
        seconds=read.number("seconds", MOST_SECONDS),
        seed=read.integer("seed", negative=True),
        environment=read.environment(),
        graph=embedded if embedded is not None else graph,
        rewrites=rewrites,
        origins=origins,
        rewrite_strategy=read.text("rewrite_strategy", "none"),
        extra_time=read.extra_time(),
        savings=read.savings(),
        rewrite_bound=read.rewrite_bound(),
        certificate=read.certificate(),
        status=read.status(),
    )
    _check_claims(plan, where)
    if graph is not None and plan.rewritten is not None:
        _check_rewriting(plan, graph, where)
    return plan


def _check_rewriting(plan: Plan, graph: Graph, where: str) -> None:
    """Check the rewrites, and what the plan says of the graph before them. Raises FormatError."""
    assert plan.rewritten is not None
    try:
        check_rewritten(graph, plan.rewritten, plan.order)
    except JudgementError as error:
        raise FormatError(f"{where}: {error}; plan the graph again") from None
    captured = live_peak(graph, captured_order(graph)).bytes
    if plan.captured_peak_bytes != captured:
        raise FormatError(
            f"{where}: captured_peak_bytes is {plan.captured_peak_bytes}, but the graph's is {captured}; plan it again"
        )


def _check_claims(plan: Plan, where: str) -> None:
    """Check that the plan's own numbers agree with each other. Raises FormatError naming the key that is wrong."""
    again = "plan the graph again"
    if sorted(plan.order) != list(range(len(plan.order))):
        raise FormatError(f"{where}: order is not a permutation of 0..{len(plan.order) - 1}; {again}")
    if plan.lower_bound_bytes > plan.peak_bytes:
        raise FormatError(
            f"{where}: lower_bound_bytes is {plan.lower_bound_bytes}, above peak_bytes {plan.peak_bytes}; {again}"
        )
    if plan.optimal != (plan.peak_bytes == plan.lower_bound_bytes):
        raise FormatError(
            f"{where}: optimal is {str(plan.optimal).lower()}, but peak_bytes is {plan.peak_bytes} and "
            f"lower_bound_bytes {plan.lower_bound_bytes}; {again}"
        )
    bound = plan.rewrite_bound
    if bound is not None and (bound.peak_bytes > plan.peak_bytes or bound.extra_time > max(plan.extra_time, 0) + 1e-9):
        raise FormatError(f"{where}: rewrite_bound is above the plan's own peak_bytes or extra_time; {again}")
    if plan.peak_bytes > plan.arena_bytes:
        raise FormatError(f"{where}: peak_bytes is {plan.peak_bytes}, above arena_bytes {plan.arena_bytes}; {again}")
    saved = sum(one.bytes for one in plan.savings)
    if plan.savings and saved != plan.captured_peak_bytes - plan.peak_bytes:
        raise FormatError(
            f"{where}: savings come to {saved} bytes, but captured_peak_bytes less peak_bytes is "
            f"{plan.captured_peak_bytes - plan.peak_bytes}; {again}"
        )
    _check_time(plan, where, again)
    if plan.graph is not None:
        _check_against(plan, plan.graph, where, again)


def _check_time(plan: Plan, where: str, again: str) -> None:
    """Check `extra_time` against its parts. Raises FormatError."""
    added = sum(one.extra_time for one in plan.savings)
    if plan.savings and abs(added - plan.extra_time) > TIME_TOLERANCE:
        raise FormatError(f"{where}: savings add {added:g} of time, but extra_time is {plan.extra_time:g}; {again}")
    if not plan.rewrites and plan.extra_time:
        raise FormatError(f"{where}: extra_time is {plan.extra_time:g}, but nothing is rewritten; {again}")


def _check_against(plan: Plan, graph: Graph, where: str, again: str) -> None:
    try:
        check_order(graph, plan.order)
        check_layout(lifetimes(graph, plan.order), Layout(plan.offsets, plan.arena_bytes))
    except JudgementError as error:
        raise FormatError(f"{where}: {error}; {again}") from None
    foreign = [storage for storage in plan.offsets if storage >= len(graph.storages)]
    if foreign:
        raise FormatError(f"{where}: offsets names storage {foreign[0]}, which the graph has not; {again}")
    peak = live_peak(graph, plan.order).bytes
    if plan.peak_bytes != peak:
        raise FormatError(f"{where}: peak_bytes is {plan.peak_bytes}, but the order's peak is {peak}; {again}")
    captured = live_peak(graph, captured_order(graph)).bytes
    if not plan.rewrites and plan.captured_peak_bytes != captured:
        raise FormatError(
            f"{where}: captured_peak_bytes is {plan.captured_peak_bytes}, but the graph's is {captured}; {again}"
        )
    proof = plan.certificate
    if proof is None:
        return
    ops, storages = (proof.op, *proof.later, *proof.earlier), proof.storages
    if max(ops) >= len(graph.ops) or max(storages, default=-1) >= len(graph.storages):
        raise FormatError(f"{where}: certificate names an op or a storage that the graph has not; {again}")
    held = sum(graph.storages[storage].bytes for storage in set(proof.storages))
    if held < proof.bytes or proof.bytes != plan.lower_bound_bytes:
        raise FormatError(
            f"{where}: certificate holds {held} bytes and claims {proof.bytes}, "
            f"but lower_bound_bytes is {plan.lower_bound_bytes}; {again}"
        )
