"""Reading `roam-plan/2` and `/1`: nothing in a file is trusted, every number that can be computed is compared."""

from __future__ import annotations

import math
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
from roam_lab.order.bound import Certificate
from roam_lab.plan.origins_json import read_origins
from roam_lab.plan.plan import FIRST_FORMAT, FORMAT, KINDS, STATUSES, Plan, Rewrite, Saving
from roam_lab.rewrite.bound import RewriteBound

_LARGEST = 2**62


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
        raise FormatError(f"{where}: format is {_short(data.get('format'))}, not {FORMAT!r}; give a plan's file")
    read = _Reader(data, where)
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
        seconds=read.number("seconds"),
        seed=read.integer("seed", negative=True),
        environment={key: str(value) for key, value in read.table("environment", {}).items()},
        graph=embedded if embedded is not None else graph,
        rewrites=rewrites,
        origins=origins,
        rewrite_strategy=read.text("rewrite_strategy", "none"),
        extra_time=read.number("extra_time", 0.0, negative=True),
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
    if plan.graph is not None:
        _check_against(plan, plan.graph, where, again)


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


class _Reader:
    """Typed access to the keys of one plan; every error names the file, the key and what stands there."""

    def __init__(self, data: dict[str, Any], where: str) -> None:
        self.data, self.where = data, where

    def _wrong(self, key: str, wanted: str) -> FormatError:
        if key not in self.data:
            return FormatError(f"{self.where}: {key} is missing; the file is not a whole {FORMAT}")
        return FormatError(f"{self.where}: {key} is {_short(self.data[key])}, not {wanted}; check the file's writer")

    def integer(self, key: str, negative: bool = False) -> int:
        value = self.data.get(key)
        if type(value) is not int or abs(value) > _LARGEST or (value < 0 and not negative):
            raise self._wrong(key, "an integer" if negative else "an integer from 0 to 2^62")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.data.get(key)
        if not isinstance(value, list) or any(type(entry) is not int or entry < 0 for entry in value):
            raise self._wrong(key, "a list of integers from 0")
        return tuple(value)

    def number(self, key: str, default: float | None = None, negative: bool = False) -> float:
        value = self.data.get(key, default)
        low = -math.inf if negative else 0
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < math.inf:
            raise self._wrong(key, "a number" if negative else "a number from 0")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self.data.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self.data.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value

    def table(self, key: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        value = self.data.get(key, default)
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return value

    def rewrites(self) -> tuple[Rewrite, ...]:
        value = self.data.get("rewrites", [])
        if not isinstance(value, list):
            raise self._wrong("rewrites", "a list")
        for one in value:
            if not isinstance(one, dict) or one.get("kind") not in KINDS or type(one.get("op")) is not int:
                raise FormatError(f"{self.where}: rewrites holds {_short(one)}, no known kind with its op; {_WRITER}")
        return tuple(Rewrite(one["kind"], one["op"]) for one in value)

    def savings(self) -> tuple[Saving, ...]:
        value = self.data.get("savings", [])
        if not isinstance(value, list):
            raise self._wrong("savings", "a list")
        parts = [
            _Reader(one if isinstance(one, dict) else {}, f"{self.where}: savings {number}")
            for number, one in enumerate(value)
        ]
        return tuple(
            Saving(part.text("kind"), part.integer("bytes", True), part.number("extra_time", negative=True))
            for part in parts
        )

    def rewrite_bound(self) -> RewriteBound | None:
        if self.data.get("rewrite_bound") is None:
            return None
        inner = _Reader(self.table("rewrite_bound"), f"{self.where}: rewrite_bound")
        return RewriteBound(inner.integer("peak_bytes"), inner.number("extra_time"))

    def status(self) -> Any:
        """The status; of an older file without one, by its key `optimal`."""
        value = self.data.get("status", "optimal" if self.data.get("optimal") is True else "feasible")
        if value not in STATUSES:
            raise self._wrong("status", f"one of {', '.join(STATUSES)}")
        return value

    def offsets(self) -> dict[int, int]:
        offsets: dict[int, int] = {}
        for key, value in self.table("offsets").items():
            if not (key.isascii() and key.isdecimal() and len(key) <= 18 and str(int(key)) == key):
                raise FormatError(f"{self.where}: offsets has the key {_short(key)}, not a storage; {_WRITER}")
            if type(value) is not int or not 0 <= value <= _LARGEST:
                raise FormatError(f"{self.where}: offsets of {key} is {_short(value)}, not an integer; {_WRITER}")
            offsets[int(key)] = value
        return offsets

    def certificate(self) -> Certificate | None:
        if self.data.get("certificate") is None:
            return None
        inner = _Reader(self.table("certificate"), f"{self.where}: certificate")
        kind = inner.data.get("kind", "forced")
        if kind not in ("forced", "minimum cut", "search"):
            raise inner._wrong("kind", "forced, minimum cut or search")
        later, earlier = (inner.integers(key) if key in inner.data else () for key in ("later", "earlier"))
        op, held = inner.integer("op"), inner.integers("storages")
        return Certificate(op, held, inner.integer("bytes"), kind, later, earlier)


_WRITER = "check the file's writer"


def _short(value: Any) -> str:
    """`value` as text, cut to fit into one line of an error."""
    text = repr(value) if not isinstance(value, (list, dict)) else f"a {type(value).__name__} of {len(value)}"
    return text if len(text) <= 60 else f"{text[:57]}..."
