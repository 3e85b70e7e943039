"""Explaining the peak of a plan: what is alive at it, and why no order has a lower one, or how much one could gain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from roam_lab.ir import Graph, lifetimes, live_peak
from roam_lab.report.graphs import graph_of
from roam_lab.report.rows import Alive, alive_of
from roam_lab.report.safe_text import printable
from roam_lab.report.sentences import certificate_sentence, op_text, peak_sentence
from roam_lab.report.text import alive_table
from roam_lab.report.units import bytes_text, share_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan

LISTED = 8
"""How many storages of each set are listed by default; the others are summed up."""


@dataclass(frozen=True, slots=True)
class OpLocation:
    """An op of the graph, and where in the user's model it is: phase, module, source line."""

    op: int
    name: str
    phase: str
    module: str
    source: str


@dataclass(frozen=True, slots=True)
class Held:
    """A set of storages, largest first."""

    storages: tuple[Alive, ...]

    @property
    def bytes(self) -> int:
        """The bytes of all of them together."""
        return sum(alive.size_bytes for alive in self.storages)

    def kinds(self) -> dict[str, int]:
        """Kind -> bytes, largest first; "unknown" for storages without a kind."""
        sums: dict[str, int] = {}
        for alive in self.storages:
            kind = alive.kind or "unknown"
            sums[kind] = sums.get(kind, 0) + alive.size_bytes
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))

    def to_data(self, limit: int | None = LISTED) -> dict[str, Any]:
        """Plain JSON data: the `limit` largest (None: all), and the sum of the others."""
        listed = self.storages[:limit]
        return {
            "bytes": self.bytes,
            "count": len(self.storages),
            "bytes_by_kind": self.kinds(),
            "largest": [asdict(alive) for alive in listed],
            "rest_count": len(self.storages) - len(listed),
            "rest_bytes": self.bytes - sum(alive.size_bytes for alive in listed),
        }

    def text(self, limit: int | None = LISTED) -> str:
        """An indented table of the `limit` largest, and one line for the others."""
        listed = self.storages[:limit]
        parts = [alive_table(listed)] if listed else []
        if len(listed) < len(self.storages):
            rest = self.storages[len(listed) :]
            parts.append(f"  and {_storages(len(rest))} of {bytes_text(Held(rest).bytes)} together")
        return "\n".join(parts)


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """What a plan's peak is made of, and what is known about going below it; sizes in bytes.

    `headline`: see `Plan.headline`. `at_peak`: what is alive at the peak. `why`: the proof in a sentence. `proof_op`
    and `forced`: the op and the storages that the proof names (None and empty where nothing is proven, or the proof
    names none); `later`, `earlier`: ops that the proof assumes to run after and before that op. `proof_kind`: "forced",
    "minimum cut", "search" or "none". `open`: storages alive at the peak that the proof does not name; a better order
    would have to free some of them.
    """

    name: str
    headline: str
    peak_bytes: int
    arena_bytes: int
    lower_bound_bytes: int
    captured_peak_bytes: int
    optimal: bool
    peak_op: OpLocation | None
    at_peak: Held
    peak_text: str
    why: str
    proof_kind: str
    proof_op: OpLocation | None
    forced: Held
    later: tuple[OpLocation, ...]
    earlier: tuple[OpLocation, ...]
    open: Held

    @property
    def gap_bytes(self) -> int:
        """The most that any other order could save: peak - lower bound."""
        return max(0, self.peak_bytes - self.lower_bound_bytes)

    def __repr__(self) -> str:
        what = "no order is lower" if self.optimal else f"at most {bytes_text(self.gap_bytes)} to win"
        return (
            f"Explanation({self.name!r}: peak {bytes_text(self.peak_bytes)}, "
            f"{len(self.at_peak.storages)} alive there; {what})"
        )

    def to_data(self, limit: int | None = LISTED) -> dict[str, Any]:
        """Plain JSON data; of each set the `limit` largest storages (None: all), and the sum of the others."""
        return {
            "name": self.name,
            "headline": self.headline,
            "peak_bytes": self.peak_bytes,
            "arena_bytes": self.arena_bytes,
            "lower_bound_bytes": self.lower_bound_bytes,
            "captured_peak_bytes": self.captured_peak_bytes,
            "optimal": self.optimal,
            "gap_bytes": self.gap_bytes,
            "gap_of_peak": self.gap_bytes / self.peak_bytes if self.peak_bytes else 0.0,
            "peak_op": None if self.peak_op is None else asdict(self.peak_op),
            "at_peak": self.at_peak.to_data(limit),
            "proof": {
                "kind": self.proof_kind,
                "sentence": self.why,
                "op": None if self.proof_op is None else asdict(self.proof_op),
                "forced": self.forced.to_data(limit),
                "later": [asdict(place) for place in self.later[:limit]],
                "later_count": len(self.later),
                "earlier": [asdict(place) for place in self.earlier[:limit]],
                "earlier_count": len(self.earlier),
            },
            "open": self.open.to_data(limit),
        }

    def text(self, limit: int | None = LISTED) -> str:
        """The whole explanation as text: the headline, then three parts."""
        placed = f"{_names_of('Still to come', self.later, limit)}{_names_of('Already run', self.earlier, limit)}"
        named = f"{placed}{_kinds(self.forced)}\n{self.forced.text(limit)}"
        if self.proof_kind == "search":  # its storages are no more than the peak's
            named = ""
        elif self.forced == self.at_peak:
            named = f"{placed} The storages are those that are alive at the peak, listed above."
        parts = [
            f"{self.name}: {self.headline}, predicted",
            f"What is alive at the peak\n\n{self.peak_text}{_kinds(self.at_peak)}\n{self.at_peak.text(limit)}",
            f"{'Why it cannot be lower' if self.optimal else 'What is proven'}\n\n{self.why}{named}",
        ]
        if not self.optimal:
            parts.append(
                f"What a better order might still win\n\nAt most {bytes_text(self.gap_bytes)}, "
                f"{share_text(self.gap_bytes, self.peak_bytes)} of the peak. {_open_sentence(self.open)}\n"
                f"{self.open.text(limit)}"
            )
        return printable("\n\n".join(part.rstrip() for part in parts))


def explain(plan: Plan) -> Explanation:
    """Explain the peak of `plan`: what is alive at it, and why no order has a lower one, or how much one could gain.

    Raises InputError for a bare plan, which has no graph to explain with.
    """
    graph = graph_of(plan)
    peak = live_peak(graph, plan.order)
    alive = [life.storage for life in lifetimes(graph, plan.order) if life.start <= peak.step < life.end]
    proof = plan.certificate
    forced = () if proof is None else proof.storages
    return Explanation(
        name=graph.name or "training step",
        headline=plan.headline,
        peak_bytes=plan.peak_bytes,
        arena_bytes=plan.arena_bytes,
        lower_bound_bytes=plan.lower_bound_bytes,
        captured_peak_bytes=plan.captured_peak_bytes,
        optimal=plan.optimal,
        peak_op=_location(graph, plan.order[peak.step]) if plan.order else None,
        at_peak=_held(graph, alive),
        peak_text=peak_sentence(graph, plan.order, "planned"),
        why=certificate_sentence(plan),
        proof_kind="none" if proof is None else proof.kind,
        proof_op=None if proof is None else _location(graph, proof.op),
        forced=_held(graph, forced),
        later=() if proof is None else tuple(_location(graph, op) for op in proof.later),
        earlier=() if proof is None else tuple(_location(graph, op) for op in proof.earlier),
        open=_held(graph, set(alive).difference(forced)) if not plan.optimal else Held(()),
    )


def _held(graph: Graph, storages: Iterable[int]) -> Held:
    found = sorted(storages, key=lambda storage: (-graph.storages[storage].bytes, storage))
    return Held(tuple(alive_of(graph, storage) for storage in found))


def _location(graph: Graph, index: int) -> OpLocation:
    op = graph.ops[index]
    return OpLocation(index, op.name, op.phase or "", op.module or "", op.source or "")


def _storages(count: int) -> str:
    return f"{count:,} storage{'' if count == 1 else 's'}"


def _kinds(held: Held) -> str:
    """ " By kind: ..." where the graph knows more than one."""
    kinds = held.kinds()
    if len(kinds) < 2:
        return ""
    return f" By kind: {', '.join(f'{kind} {bytes_text(size)}' for kind, size in kinds.items())}."


def _names_of(what: str, ops: Sequence[OpLocation], limit: int | None) -> str:
    if not ops:
        return ""
    names = ", ".join(op_text(op.op, op.name) for op in ops[:limit])
    rest = len(ops) - len(ops[:limit])
    return f" {what}: {names}{f' and {rest:,} more' if rest else ''}."


def _open_sentence(held: Held) -> str:
    if not held.storages:
        return "Everything alive at the peak is named by the proof; it proves less than all of it together."
    return (
        f"It would have to keep some of what the proof does not name, {_storages(len(held.storages))} of "
        f"{bytes_text(held.bytes)}, from being alive together with the rest:"
    )
