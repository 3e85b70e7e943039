"""The rewrites of a plan by kind: how many ops, bytes saved and time added, as rows and in words."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roam_lab.report.units import bytes_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.rewrite.bound import RewriteBound

NOTES = {
    "order": "the order that rewriting begins with",
    "in_place": "results take the storage of an input that dies there",
    "fuse": "chains of ops run a few rows at a time",
    "recompute": "ops run again before a later use",
    "offload": "moved to the host and back",
}
ON_TOP = "Each row on top of those above it: in another sequence a kind would have saved more or less."


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind of rewriting: how many ops it changed, by how many bytes the live peak fell and what time it added (a
    fraction of the ops' time before); None where the plan does not say."""

    kind: str
    ops: int
    saved_bytes: int | None
    extra_time: float | None
    note: str


def kind_rows(plan: Plan) -> list[KindRow]:
    """A row for each kind in `plan`, in the sequence in which their savings add up; empty if nothing was rewritten."""
    counts = Counter(rewrite.kind for rewrite in plan.rewrites)
    if not plan.savings:
        return [KindRow(kind, count, None, None, _note(plan, kind)) for kind, count in counts.most_common()]
    rows = []
    for saving in plan.savings:
        kinds = saving.kind.split(", ")
        ops = sum(count for kind, count in counts.items() if kind in kinds)
        note = "; ".join(_note(plan, kind) for kind in kinds)
        rows.append(KindRow(saving.kind, ops, saving.bytes, saving.extra_time, note))
    return rows


def _note(plan: Plan, kind: str) -> str:
    note = NOTES.get(kind, "")
    if plan.graph is None or kind not in ("recompute", "offload"):
        return note
    storages = plan.graph.storages
    if kind == "offload":
        moved = sum(storage.bytes for storage in storages if storage.region == "host")
        return f"{note}: {bytes_text(moved)}"
    made = [storage.bytes for storage in storages if storage.kind == "recomputed"]
    return f"{note}: {bytes_text(sum(made))} in {len(made):,} storages"


def kind_name(kind: str) -> str:
    """The name of a kind in texts: "in place"."""
    return kind.replace("_", " ")


def saved_and_added(row: KindRow) -> tuple[str, str]:
    """Bytes saved and time added, as texts."""
    saved = "not noted" if row.saved_bytes is None else signed_bytes(row.saved_bytes)
    time = "not noted" if row.extra_time is None else f"{100 * row.extra_time:.1f} %"
    return saved, time


def signed_bytes(size: int) -> str:
    """Bytes as text, with a minus sign where `size` is below 0 (the peak rose)."""
    return bytes_text(size) if size >= 0 else f"-{bytes_text(-size)}"


def saved_text(plan: Plan) -> str:
    """The savings in a few words: "in place 1.2 GiB, recompute 12.1 GiB"; "" if nothing was rewritten, or the plan does
    not say."""
    return ", ".join(f"{kind_name(one.kind)} {signed_bytes(one.bytes)}" for one in plan.savings if one.bytes)


def rewrites_text(plan: Plan) -> str:
    """How many of which kind, and what they cost: "12 recompute, 40 in_place; 4.8 % more time"."""
    counts = Counter(rewrite.kind for rewrite in plan.rewrites)
    made = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
    return f"{made}; {100 * plan.extra_time:.1f} % more time"


def rewrite_bound_text(plan: Plan, bound: RewriteBound) -> str:
    """How much another rewriting could gain at most: memory in the same time, or time in the same memory."""
    above = plan.peak_bytes / bound.peak_bytes - 1 if bound.peak_bytes else math.inf
    memory = "nothing proven" if math.isinf(above) else f"the peak is at most {100 * above:.2f} % above the best"
    return (
        f"of any rewriting of this order in as much time: {memory}; "
        f"in as much memory none adds less than {100 * bound.extra_time:.2f} % time"
    )
