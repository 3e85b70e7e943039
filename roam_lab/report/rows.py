"""The figures of profiles and plans as rows, which terminals (`text`) and notebooks lay out, and as JSON data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from roam_lab.ir import Graph, captured_order, lifetimes, live_peak
from roam_lab.layout.caching.training_run import STEPS, Reservation
from roam_lab.plan.plan import plan_to_data
from roam_lab.report.graphs import captured_name, eager_graph, graph_of
from roam_lab.report.headline import eager_bytes
from roam_lab.report.reservations import reservation, unmodelled_settings
from roam_lab.report.rewrites import rewrite_bound_text, rewrites_text
from roam_lab.report.sentences import unseen_text
from roam_lab.report.units import bytes_text, change_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.plan.profile import Profile


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its name (shown indented by `level`), its bytes, and what it means."""

    label: str
    size_bytes: int
    note: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True)
class Alive:
    """A storage that is alive at a peak, and where in the user's model it is made: op, module, line ("file:line"),
    phase."""

    storage: int
    size_bytes: int
    kind: str
    op: str
    module: str
    source: str
    phase: str = ""


def reservation_rows(name: str, held: Reservation) -> list[Row]:
    """Rows of the simulated allocator's reservation, above residents. `name`: of the run ("eager"). Settings that the
    simulation does not follow are named."""
    note = " ".join([f"above resident, simulated caching allocator, {STEPS} steps", *unmodelled_settings()])
    rows = [Row(f"{name} reservation", held.above_resident, note)]
    if held.workspace:
        rows.append(
            Row("cuBLAS workspaces", held.workspace, "reserved, too: one a thread, of which a planned step has one")
        )
    return rows


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
        "eager_step_bytes": profile.resident_bytes + profile.eager_bytes,
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
        "eager_step_bytes": graph.resident_bytes + plan.eager_bytes,
        "planned_step_bytes": graph.resident_bytes + plan.arena_bytes,
        "eager_reservation_bytes": None if plan.rewrites else reservation(plan).above_resident,
    }


def resident_rows(resident_bytes: int, resident: Mapping[str, int]) -> list[Row]:
    """Rows of the resident bytes: all of them, then each kind."""
    rows = [Row("resident", resident_bytes, "always there, beside the arena")]
    return rows + [Row(kind, size, level=1) for kind, size in resident.items()]


def profile_rows(profile: Profile) -> list[Row]:
    """The rows of a captured step: predicted figures, and measured ones where there are any."""
    rows = [
        Row("whole step, eager", profile.resident_bytes + profile.eager_bytes, "predicted: resident + peak"),
        *resident_rows(profile.resident_bytes, profile.resident),
        Row("eager peak", profile.captured_peak_bytes, "predicted, above resident, as PyTorch runs the step"),
    ]
    if profile.eager_bytes > profile.captured_peak_bytes:
        unseen = profile.eager_bytes - profile.captured_peak_bytes
        rows.append(Row("workspace in ops", unseen, "predicted; part of the whole step, which it makes higher"))
    rows += reservation_rows("eager", profile.reservation())
    if profile.measured is not None:
        peak = max(profile.measured.live_bytes, default=0)
        gap = profile.captured_peak_bytes - peak
        side = f"lies {bytes_text(abs(gap))} {'above' if gap > 0 else 'below'} it" if gap else "is the same"
        rows.append(Row("measured peak", peak, f"{profile.measured.how}; predicted {side}"))
    return rows


def short_rows(plan: Plan, profile: Profile | None = None) -> list[tuple[str, str, str, str]]:
    """The small table under a headline, as text: rows of (name, eager, planned, how it is known), the columns' names
    first."""
    resident, eager = plan.resident_bytes, eager_bytes(plan, profile)
    rows = [("", "eager", "planned", "")]
    if plan.graph is not None:
        change = change_text(resident + eager, resident + plan.arena_bytes)
        whole = (bytes_text(resident + eager), bytes_text(resident + plan.arena_bytes))
        rows.append(("whole step", *whole, f"{change}, predicted" if change else "predicted"))
        rows.append(
            ("resident", bytes_text(resident), bytes_text(resident), "weights, optimizer state, batch: always there")
        )
    rows.append(("on top", bytes_text(eager), bytes_text(plan.arena_bytes), "eager: live peak; planned: arena"))
    bound = "met: proven optimal" if plan.optimal else _gap_text(plan)
    rows.append(("lower bound", "", bytes_text(plan.lower_bound_bytes), f"of the peak, any order; {bound}"))
    if plan.rewrites:
        times = plan.environment.get("times", "times of the graph")
        source = f"predicted ({times})" if plan.extra_time > 0 else "no op is run again"
        rows.append(("extra time", "", f"{100 * plan.extra_time:.1f} %", source))
    if profile is not None and profile.measured is not None:
        measured = profile.measured
        how = "; ".join(filter(None, (f"{measured.how}, {measured.device}", unseen_text(profile))))
        rows.append(("on top, measured", bytes_text(measured.peak_bytes), "", how))
    return rows


def plan_rows(plan: Plan, profile: Profile | None = None) -> list[Row]:
    """The rows of a plan: the whole step, then its parts. `profile`: the profile that was planned. A bare plan has no
    rows of residents and of the simulated reservation, which need its graph."""
    eager = eager_bytes(plan, profile)
    rows: list[Row] = []
    if plan.graph is not None:
        resident = plan.graph.resident_bytes
        change = change_text(resident + eager, resident + plan.arena_bytes)
        rows += [
            Row("whole step, eager", resident + eager, "resident + eager's peak"),
            Row("whole step, planned", resident + plan.arena_bytes, f"resident + arena; {change} against eager"),
            *resident_rows(resident, profile.resident if profile else {}),
        ]
    if eager != plan.captured_peak_bytes:
        rows.append(Row("eager peak", eager, "above resident, as PyTorch runs the step"))
    rows.append(Row("captured peak", plan.captured_peak_bytes, "above resident, planned graph in eager's order"))
    if plan.graph is not None and (profile is not None or not plan.rewrites):  # else the graph is another
        rows += reservation_rows(captured_name(profile), reservation(plan, profile))
    rows.append(Row("planned peak", plan.peak_bytes, "above resident, planned graph in the plan's order"))
    rows.append(
        Row(
            "lower bound",
            plan.lower_bound_bytes,
            f"of any order; {'met: optimal' if plan.optimal else _gap_text(plan)}",
        )
    )
    if plan.rewrite_bound is not None:
        note = rewrite_bound_text(plan, plan.rewrite_bound)
        rows.append(Row("rewriting bound", plan.rewrite_bound.peak_bytes, note))
    rows.append(Row("arena", plan.arena_bytes, _arena_text(plan)))
    return rows


def _arena_text(plan: Plan) -> str:
    over = f"{change_text(plan.peak_bytes, plan.arena_bytes) or 'nothing'} over the peak"
    return f"{over}; rewritten: {rewrites_text(plan)}" if plan.rewrites else over


def _gap_text(plan: Plan) -> str:
    if math.isinf(plan.gap):
        return "nothing proven"
    return f"the peak is at most {100 * plan.gap:.2f} % above the best"


def alive_at_peak(graph: Graph, order: Sequence[int], limit: int = 8) -> list[Alive]:
    """The largest storages alive at the peak of `order`, largest first, at most `limit` of them."""
    step = live_peak(graph, order).step
    alive = [life for life in lifetimes(graph, order) if life.start <= step < life.end]
    alive.sort(key=lambda life: (-life.bytes, life.storage))
    return [alive_of(graph, life.storage) for life in alive[:limit]]


def alive_of(graph: Graph, storage: int) -> Alive:
    """A created storage with where it is made. Raises ValueError for one that no op creates."""
    info, creator = graph.storages[storage], graph.creator[storage]
    if creator is None:  # cannot be alive: only created storages have lifetimes
        raise ValueError(f"storage {storage} has no creator")
    op = graph.ops[creator]
    return Alive(storage, info.bytes, info.kind or "", op.name, op.module or "", op.source or "", op.phase or "")
