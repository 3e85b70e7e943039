"""A plan: the frozen result of planning one graph, with its proof, what it was made with, and its file format."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from roam_lab.errors import InputError
from roam_lab.ir import Graph, Order, Origin, Rewritten, graph_to_data, write_text
from roam_lab.order.bound import Certificate
from roam_lab.order.tasks import Task
from roam_lab.plan.origins_json import add_origins
from roam_lab.rewrite.bound import RewriteBound
from roam_lab.sizes import bytes_text, step_text

FORMAT = "roam-plan/2"
FIRST_FORMAT = "roam-plan/1"
SUFFIX = ".roam.json"

Status = Literal["optimal", "feasible", "timed out"]
STATUSES: tuple[Status, ...] = ("optimal", "feasible", "timed out")


Kind = Literal["in_place", "fuse", "recompute", "offload"]
KINDS: tuple[Kind, ...] = ("in_place", "fuse", "recompute", "offload")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One rewrite: its kind, and the op of the rewritten graph at which it was made."""

    kind: Kind
    op: int


@dataclass(frozen=True, slots=True)
class Saving:
    """What rewriting of one kind did on top of the kinds before it. `bytes`: by how much the live peak fell (below 0:
    it rose). `extra_time`: the time that it added, as a fraction of the ops' time before (below 0: it saved time).

    `kind` is one of KINDS, or "order" for the order that rewriting starts from, or "recompute, offload" where both were
    used and their shares cannot be separated.
    """

    kind: str
    bytes: int
    extra_time: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan:
    """An order and a layout of one graph, checked by the judge. Attributes are the keys of `roam-plan/2`; sizes in
    bytes.

    `peak_bytes`: the live peak of `order`, sizes not rounded up; `arena_bytes`: the size of the arena. `offsets`:
    storage -> byte offset; for an external storage it says which part of the arena's memory is given up while the
    storage lives, or, if it is above all others, that the storage lies beside the arena (plan/beside.py).
    `lower_bound_bytes`: proven over all legal orders, `certificate` says why; `optimal`: the peak meets it.
    `captured_peak_bytes`: the live peak of the captured order; `eager_peak_bytes`: of the step as eager PyTorch runs
    it, which may add gradients out of place, where the capture knows it.

    `graph`: the graph that runs (None: a *bare* plan). Where it was rewritten, `origins` says what each of its ops does
    in terms of the graph before, and `graph_sha256` and `captured_peak_bytes` are those of the graph before.
    `rewrites`: what was done; `extra_time`: its cost, as a fraction of the ops' time before; `savings`: both by kind,
    which add up to `captured_peak_bytes - peak_bytes` and to `extra_time`; `rewrite_bound`: how much better another
    rewriting could be.

    `tasks`: the task tree of the order strategy `roam`, where it made one; not in files. Two plans are equal if they
    agree in all but `seconds` and `tasks`.
    """

    graph_sha256: str
    order: Order
    offsets: Mapping[int, int]
    arena_bytes: int
    peak_bytes: int
    lower_bound_bytes: int
    captured_peak_bytes: int
    optimal: bool
    order_strategy: str
    layout_strategy: str
    seconds: float = field(compare=False)
    seed: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    graph: Graph | None = None
    rewrites: tuple[Rewrite, ...] = ()
    origins: tuple[Origin, ...] = ()
    rewrite_strategy: str = "none"
    extra_time: float = 0.0
    savings: tuple[Saving, ...] = ()
    rewrite_bound: RewriteBound | None = None
    certificate: Certificate | None = None
    eager_peak_bytes: int | None = None
    status: Status = "feasible"
    tasks: Task | None = field(default=None, compare=False)

    @property
    def rewritten(self) -> Rewritten | None:
        """The graph with its origins; None where nothing was rewritten, or the plan is bare."""
        return Rewritten(self.graph, self.origins) if self.graph is not None and self.origins else None

    @property
    def resident_bytes(self) -> int:
        """Resident bytes, which lie beside the arena; 0 for a bare plan, which does not know them."""
        return 0 if self.graph is None else self.graph.resident_bytes

    @property
    def eager_bytes(self) -> int:
        """The estimated peak of the step without this plan, above residents: the larger of `eager_peak_bytes`, which
        counts tensors only, and `captured_peak_bytes`, which counts workspaces, too.
        """
        return max(self.captured_peak_bytes, self.eager_peak_bytes or 0)

    @property
    def headline(self) -> str:
        """The whole step (resident + arena), eager and then planned: "346.7 -> 284.7 MiB, -17.9 %"."""
        return step_text(self.resident_bytes + self.eager_bytes, self.resident_bytes + self.arena_bytes)

    @property
    def gap(self) -> float:
        """How far the peak may lie above the best possible: peak / bound - 1, 0.0 when proven optimal."""
        if self.peak_bytes <= self.lower_bound_bytes:
            return 0.0
        return self.peak_bytes / self.lower_bound_bytes - 1 if self.lower_bound_bytes else math.inf

    def __repr__(self) -> str:
        name = "a bare plan" if self.graph is None else repr(self.graph.name)
        proof = "optimal" if self.optimal else f"at most {self.gap:.1%} above the optimum"
        return (
            f"Plan({name}: {'above resident' if self.graph is None else 'whole step'} {self.headline}, {proof}; "
            f"arena {bytes_text(self.arena_bytes)}; order {self.order_strategy}, layout {self.layout_strategy})"
        )

    def save(self, path: str | os.PathLike[str], bare: bool = False) -> None:
        """Write `roam-plan/2` to `path`, which ends in .roam.json; `bare` leaves the graph out.

        Raises InputError for another ending, or for a bare file of a plan with rewrites, which could not be run;
        OutputError when it cannot be written, and then leaves no file of its own.
        """
        if bare and self.rewrites:
            raise InputError(
                f"{path}: what was rewritten is in the plan's graph; save it whole, or plan without rewrites"
            )
        if not str(path).endswith(SUFFIX):
            raise InputError(f"{path}: a plan's file must end in {SUFFIX}; name it so")
        write_text(path, json.dumps(plan_to_data(self, bare), separators=(",", ":")))


def plan_to_data(plan: Plan, bare: bool = False) -> dict[str, Any]:
    """Plain data of `roam-plan/2`; `bare` leaves the graph out."""
    data: dict[str, Any] = {
        "format": FORMAT,
        "graph_sha256": plan.graph_sha256,
        "order": list(plan.order),
        "offsets": {str(storage): offset for storage, offset in sorted(plan.offsets.items())},
        "arena_bytes": plan.arena_bytes,
        "peak_bytes": plan.peak_bytes,
        "lower_bound_bytes": plan.lower_bound_bytes,
        "captured_peak_bytes": plan.captured_peak_bytes,
        **({} if plan.eager_peak_bytes is None else {"eager_peak_bytes": plan.eager_peak_bytes}),
        "optimal": plan.optimal,
        "status": plan.status,
        "order_strategy": plan.order_strategy,
        "layout_strategy": plan.layout_strategy,
        "seconds": plan.seconds,
        "seed": plan.seed,
        "environment": dict(plan.environment),
    }
    if plan.rewrites:
        data["rewrites"] = [{"kind": one.kind, "op": one.op} for one in plan.rewrites]
        data["rewrite_strategy"], data["extra_time"] = plan.rewrite_strategy, plan.extra_time
        data["savings"] = [asdict(one) for one in plan.savings]
        if plan.rewrite_bound is not None:
            bound = plan.rewrite_bound
            data["rewrite_bound"] = {"peak_bytes": bound.peak_bytes, "extra_time": bound.extra_time}
    if plan.certificate is not None:
        proof = plan.certificate
        data["certificate"] = {
            "op": proof.op,
            "storages": list(proof.storages),
            "bytes": proof.bytes,
            "kind": proof.kind,
            "later": list(proof.later),
            "earlier": list(proof.earlier),
        }
    if plan.graph is not None and not bare:
        data["graph"] = graph_to_data(plan.graph)
        if plan.origins:
            add_origins(data["graph"]["ops"], plan.origins)
    return data
