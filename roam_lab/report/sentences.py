"""The sentences of reports on a peak, on eager and on a proof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from roam_lab.ir import Graph, live_peak
from roam_lab.report.units import bytes_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.plan.profile import Profile


def captured_sentence(plan: Plan, profile: Profile | None) -> str:
    """A sentence on why the captured peak of `plan` differs from eager's; "" where it does not, or eager's is
    unknown."""
    eager = "" if profile is None else bytes_text(profile.captured_peak_bytes)
    captured = bytes_text(plan.captured_peak_bytes)
    if eager in ("", captured):
        return ""
    return (
        f"Eager itself peaks at {eager}: the planned graph, whose captured peak is {captured}, adds gradients in place "
        "and counts what ops take for themselves."
    )


def unseen_text(profile: Profile) -> str:
    """Why a measured peak is less than what is predicted for eager: workspace that ops take for themselves, which a
    measurement that follows tensors does not see; "" where none is counted, the measurement sees it, or it is too
    little to change a figure."""
    unseen = profile.eager_bytes - profile.captured_peak_bytes
    alike = bytes_text(profile.eager_bytes) == bytes_text(profile.captured_peak_bytes)
    if unseen <= 0 or alike or profile.measured is None or profile.measured.peak_bytes >= profile.eager_bytes:
        return ""
    return f"it sees tensors only, and not the {bytes_text(unseen)} predicted for workspace inside ops"


def kept_order_sentence(plan: Plan, asked: str) -> str:
    """A sentence on the order of `plan` where it is not the one that was `asked` for; "" where it is."""
    kept = plan.order_strategy
    if asked in (kept, "auto"):
        return ""
    if plan.rewrites:
        return f"order {asked} is not kept: what is rewritten has an order of its own ({kept})"
    if kept == "captured":
        return f"order {asked} is worse than captured here, which the plan keeps"
    return f"order {asked} gave up here, and the plan is that of {kept}"


def peak_sentence(graph: Graph, order: Sequence[int], what: str) -> str:
    """A sentence on where the peak of `order` is: its step, and the op with its place in the model. `what`: "captured"
    or "planned"."""
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
    """A sentence on why no order can need less than the lower bound; it names the op if the plan holds its graph."""
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
