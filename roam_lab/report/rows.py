"""What a report says, as plain rows and sentences; `text` and the notebook only draw them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from roam_lab.errors import InputError
from roam_lab.ir import Graph, captured_order, lifetimes, live_peak
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import STEPS, Reservation, simulate
from roam_lab.plan.plan import plan_to_data
from roam_lab.report.rewrites import rewrite_bound_text, rewrites_text
from roam_lab.report.units import bytes_text, change_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.plan.profile import Profile

WORTHWHILE = 0.01
"""A gain of less than this part of the captured peak is called nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its name (indented by `level`), its bytes and what it means."""

    label: str
    size_bytes: int
    note: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True)
class Alive:
    """A storage that is alive at a peak, and where in the user's model it comes from."""

    storage: int
    size_bytes: int
    kind: str
    op: str
    module: str
    source: str
    phase: str = ""


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


def captured_sentence(plan: Plan, profile: Profile | None) -> str:
    """Why the captured peak of `plan` is not eager's; "" where it is, or where eager's is not known."""
    eager = "" if profile is None else bytes_text(profile.captured_peak_bytes)
    captured = bytes_text(plan.captured_peak_bytes)
    if eager in ("", captured):
        return ""
    return (
        f"Eager itself peaks at {eager}: the planned graph, whose captured peak is {captured}, adds gradients in place "
        "and counts what ops take for themselves."
    )


def reservation(plan: Plan, profile: Profile | None = None) -> Reservation:
    """What PyTorch's CUDA caching allocator would hold over some steps in captured order, by simulation, under the
    settings of the user's environment. `profile`: what the plan is of; without it residents are taken for one storage.

    Raises InputError for a bare plan.
    """
    if profile is not None:
        return profile.reservation()
    graph = graph_of(plan)
    return simulate(TrainingRun(graph, {"resident": (graph.resident_bytes,)}), AllocatorSettings.of_environment())


def reservation_rows(name: str, held: Reservation) -> list[Row]:
    """The simulated reservation above what is resident; `name`: whose it is. Settings that the simulation does not
    follow are named."""
    note = " ".join([f"above resident, simulated caching allocator, {STEPS} steps", *unmodelled_settings()])
    rows = [Row(f"{name} reservation", held.above_resident, note)]
    if held.workspace:
        rows.append(
            Row("cuBLAS workspaces", held.workspace, "reserved, too: one a thread, of which a planned step has one")
        )
    return rows


def unmodelled_settings() -> tuple[str, ...]:
    """A sentence for each of the user's allocator settings that the simulation does not follow."""
    return AllocatorSettings.of_environment().unmodelled


def profile_data(profile: Profile) -> dict[str, Any]:
    """A profile's figures as plain JSON data, for `roam profile --json`; sizes in bytes."""
    graph, eager, held = profile.graph, eager_graph(profile), profile.reservation()
    return {
        "name": graph.name,
        "ops": len(graph.ops),
        "storages": len(graph.storages),
        "resident_bytes": profile.resident_bytes,
        "resident": dict(profile.resident),
        "captured_peak_bytes": profile.captured_peak_bytes,
        "eager_reservation_bytes": held.above_resident,
        "cublas_workspace_bytes": held.workspace,
        "measured_peak_bytes": None if profile.measured is None else max(profile.measured.live_bytes, default=0),
        "differences": list(profile.differences),
        "alive_at_peak": [asdict(alive) for alive in alive_at_peak(eager, captured_order(eager))],
        "environment": dict(profile.environment),
    }


def plan_data(plan: Plan) -> dict[str, Any]:
    """A plan as plain JSON data without its graph, for `roam plan --json`; with the graph's figures beside it.

    What eager would reserve is not known (None) of a plan whose graph was rewritten.
    """
    graph = graph_of(plan)
    return {
        **plan_to_data(plan, bare=True),
        "name": graph.name,
        "resident_bytes": graph.resident_bytes,
        "eager_reservation_bytes": None if plan.rewrites else reservation(plan).above_resident,
    }


def resident_rows(resident_bytes: int, resident: Mapping[str, int]) -> list[Row]:
    """The bytes that are always there, with a row for each kind."""
    rows = [Row("resident", resident_bytes, "always there, beside the arena")]
    return rows + [Row(kind, size, level=1) for kind, size in resident.items()]


def profile_rows(profile: Profile) -> list[Row]:
    """The figures of a captured step, predicted and, where there are any, measured."""
    rows = [
        *resident_rows(profile.resident_bytes, profile.resident),
        Row("eager peak", profile.captured_peak_bytes, "predicted, above resident, as PyTorch runs the step"),
        *reservation_rows("eager", profile.reservation()),
    ]
    if profile.measured is not None:
        peak = max(profile.measured.live_bytes, default=0)
        gap = profile.captured_peak_bytes - peak
        side = f"lies {bytes_text(abs(gap))} {'above' if gap > 0 else 'below'} it" if gap else "is the same"
        rows.append(Row("measured peak", peak, f"{profile.measured.how}; predicted {side}"))
    return rows


def plan_rows(plan: Plan, profile: Profile | None = None) -> list[Row]:
    """The figures of a plan; resident bytes and the simulated reservation need its graph. `profile`: what it is of."""
    planned = change_text(plan.captured_peak_bytes, plan.peak_bytes)
    rows: list[Row] = []
    if plan.graph is not None:
        rows += resident_rows(plan.graph.resident_bytes, profile.resident if profile else {})
    rows.append(Row("captured peak", plan.captured_peak_bytes, "above resident, planned graph in eager's order"))
    if plan.graph is not None and (profile is not None or not plan.rewrites):  # else it is no more the captured one
        rows += reservation_rows(captured_name(profile), reservation(plan, profile))
    rows += [
        Row("planned peak", plan.peak_bytes, f"{planned} against captured" if planned else ""),
        Row("lower bound", plan.lower_bound_bytes, "of any order; met: optimal" if plan.optimal else _gap_text(plan)),
        Row("arena", plan.arena_bytes, _arena_text(plan)),
    ]
    if plan.rewrite_bound is not None:
        rows.insert(
            -1, Row("rewriting bound", plan.rewrite_bound.peak_bytes, rewrite_bound_text(plan, plan.rewrite_bound))
        )
    if plan.graph is not None:
        rows.append(Row("resident + arena", plan.graph.resident_bytes + plan.arena_bytes, "the whole step"))
    return rows


def _arena_text(plan: Plan) -> str:
    over = f"{change_text(plan.peak_bytes, plan.arena_bytes) or 'nothing'} over the peak"
    return f"{over}; rewritten: {rewrites_text(plan)}" if plan.rewrites else over


def _gap_text(plan: Plan) -> str:
    if math.isinf(plan.gap):
        return "nothing proven"
    return f"of any order; the peak is at most {100 * plan.gap:.2f} % above the best"


def alive_at_peak(graph: Graph, order: Sequence[int], limit: int = 8) -> list[Alive]:
    """The largest storages alive at the peak of `order`, largest first, at most `limit` of them."""
    step = live_peak(graph, order).step
    alive = [life for life in lifetimes(graph, order) if life.start <= step < life.end]
    alive.sort(key=lambda life: (-life.bytes, life.storage))
    return [alive_of(graph, life.storage) for life in alive[:limit]]


def alive_of(graph: Graph, storage: int) -> Alive:
    """A created storage with what its creator knows about it."""
    info, creator = graph.storages[storage], graph.creator[storage]
    if creator is None:  # cannot be alive: only created storages have lifetimes
        raise ValueError(f"storage {storage} has no creator")
    op = graph.ops[creator]
    return Alive(storage, info.bytes, info.kind or "", op.name, op.module or "", op.source or "", op.phase or "")


def peak_sentence(graph: Graph, order: Sequence[int], what: str) -> str:
    """Where the peak of `order` lies: its step, its op and what holds it. `what`: "captured" or "planned"."""
    if not order:
        return "The graph has no ops, so it needs no memory."
    peak = live_peak(graph, order)
    op = graph.ops[order[peak.step]]
    place = ", ".join(part for part in (op.phase, op.module, op.source) if part)
    return (
        f"The {what} peak of {bytes_text(peak.bytes)} is at step {peak.step + 1:,} of {len(order):,}, "
        f"{op_text(order[peak.step], op.name)}{f', {place}' if place else ''}."
    )


def op_text(index: int, name: str | None = None) -> str:
    """An op by its number and, where it is known, its name."""
    return f"op {index}" if name is None else f"op {index} ({name})"


def certificate_sentence(plan: Plan) -> str:
    """Why no order can need less, in plain words; names the op when the plan holds its graph."""
    proof = plan.certificate
    opening = "Proven optimal" if plan.optimal else "Bound"
    if proof is None or (not proof.storages and proof.kind != "search"):
        return f"{opening}: no legal order needs less than {bytes_text(plan.lower_bound_bytes)}."
    if proof.kind == "search":
        return f"{opening}: no legal order has a lower peak: an exhaustive search ruled out every one."
    op = op_text(proof.op, None if plan.graph is None else plan.graph.ops[proof.op].name)
    size, held = bytes_text(proof.bytes), f"{len(proof.storages):,} storage{'' if len(proof.storages) == 1 else 's'}"
    if proof.kind == "forced":
        return (
            f"{opening}: every legal order holds at least {size} while {op} runs, in {held}: "
            "each made by it or before it and needed by it or after it, whatever the order."
        )
    cases = []
    if proof.later:
        cases.append(f"{_ops(proof.later)} still to come")
    if proof.earlier:
        cases.append(f"{_ops(proof.earlier)} already run")
    if not cases:
        return (
            f"{opening}: every legal order holds at least {size} while {op} runs: of all states in which it can run, "
            f"the cheapest holds {held} (a minimum cut)."
        )
    return (
        f"{opening}: every legal order holds at least {size} at some time: with {' and '.join(cases)}, the cheapest "
        f"state in which {op} can run holds {held} (a minimum cut), and an order that does otherwise holds as much "
        "when one of those ops runs."
    )


def _ops(ops: Sequence[int]) -> str:
    return f"{len(ops):,} op{'' if len(ops) == 1 else 's'}"


def verdict_sentence(plan: Plan) -> str:
    """What the plan is worth, told plainly, also when it is worth nothing."""
    before, after = plan.captured_peak_bytes, plan.peak_bytes
    if plan.rewrites:
        more = f"{100 * plan.extra_time:.1f} % more time" if plan.extra_time > 0 else "no more time"
        return (
            f"Rewritten, the step needs {bytes_text(after)} where the captured one needs {bytes_text(before)}, "
            f"with {more} ({plan.environment.get('times', 'times of the graph')})."
        )
    if before - after >= WORTHWHILE * before > 0:
        planned = "The planned order" if not plan.rewrites else "The plan (" + rewrites_text(plan) + ")"
        return f"{planned} needs {bytes_text(after)} where the captured one needs {bytes_text(before)}."
    gain = 100 * (before - after) / before if before else 0.0
    room = "none needs less" if plan.optimal else f"no other could gain more than {_room(plan)} on it"
    return (
        f"Order gains nothing here ({gain:.1f} %): {room}. What is alive at the peak decides; "
        "a smaller batch would lower it, or recomputing: allow an extra time, such as 0.1."
    )


def _room(plan: Plan) -> str:
    return f"{100 * (1 - plan.lower_bound_bytes / plan.peak_bytes):.1f} %" if plan.peak_bytes else "0.0 %"
