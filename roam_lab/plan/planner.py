"""The planner: runs the strategies asked for, has the judge check every result, keeps the best, and proves a bound."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from roam_lab.errors import InfeasibleError, JudgementError
from roam_lab.ir import (
    Graph,
    Layout,
    Lifetime,
    Order,
    captured_order,
    check_layout,
    check_order,
    fingerprint,
    lifetimes,
    live_peak,
)
from roam_lab.order.bound import Certificate, lower_bound
from roam_lab.order.outcome import Outcome, run
from roam_lab.order.rejoin import rejoin
from roam_lab.plan.beside import SMALL_BYTES, beside_of, lent, most_apart
from roam_lab.plan.limits import check_goals, check_limits
from roam_lab.plan.plan import Plan, Status
from roam_lab.registry import Strategy, find
from roam_lab.rewrite.kinds import FREE, check_graph, checked_kinds, default_kinds

Progress = Callable[[str, float], None]
ALIGNMENTS = {"cpu": 64, "cuda": 512}
"""Device type -> alignment in bytes, that of PyTorch's own allocators."""
LENDING_ROUNDS = 3
"""On CUDA: how many layouts are tried until every external storage in the arena can be lent its range."""
LEAST_SECONDS = 0.5
"""Seconds that the layout has when the order has used up the time limit."""


def make_plan(
    graph: Graph,
    *,
    order: str = "auto",
    layout: str = "auto",
    node_limit: int | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    alignment: int | None = None,
    budget: int | None = None,
    extra_time: float | None = None,
    rewrites: Collection[str] | None = None,
    rewrite: str = "auto",
    environment: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    order_parameters: Mapping[str, Any] | None = None,
    layout_parameters: Mapping[str, Any] | None = None,
    rewrite_parameters: Mapping[str, Any] | None = None,
) -> Plan:
    """Plan `graph`: an order and a layout that the judge has checked, never worse than the captured order, with a
    proven lower bound.

    `order`, `layout`: names in the registry. `node_limit` (ops a task), `time_limit` (seconds) and `seed` reach the
    strategies that declare them; `order_parameters`, `layout_parameters` and `rewrite_parameters` go to one strategy
    each. The layout gets the time that the order left. Offsets are multiples of `alignment` bytes (None: 512 if the
    environment's device is CUDA, else 64). `environment`: what the graph was captured with (None: the graph's own); the
    plan keeps it. `budget`: the most bytes that the whole step may take, residents and arena; `extra_time`: the most
    time that rewriting may add, as a fraction of the ops' time. `rewrites`: the kinds of rewriting that are allowed
    (None: all that help on the device; empty: none). Rewritings that cost no time are made wherever they make the arena
    smaller; but with an `order` other than auto only if `extra_time` is given (0 will do). Where no order meets the
    budget, or `extra_time` is given, the graph is rewritten by the strategy `rewrite` (plan/rewriting.py).
    `progress(stage, fraction)` is called as stages begin. Without a `time_limit` the plan depends on the graph, the
    parameters and the seed only, apart from `seconds`.

    Raises UnknownStrategyError, ParameterError, and InfeasibleError when the budget is below what is achieved.
    """
    began = time.perf_counter()
    environment = graph.environment if environment is None else environment
    device = "cuda" if environment.get("device", "").startswith("cuda") else "cpu"
    if alignment is None:
        alignment = ALIGNMENTS[device]
    check_limits(node_limit, time_limit, seed, alignment)
    check_goals(budget, extra_time)
    kinds = tuple(default_kinds(graph) if rewrites is None else sorted(checked_kinds(rewrites)))
    rewrite_values = find("rewrite", rewrite).accept(dict(rewrite_parameters or {}))
    tell = progress or (lambda stage, fraction: None)
    knobs = {"node_limit": node_limit, "time_limit": time_limit, "seed": seed}
    order_strategy, layout_strategy = find("order", order), find("layout", layout)
    order_values = _values(order_strategy, knobs, order_parameters)
    _values(layout_strategy, knobs, layout_parameters)  # wrong ones are refused before any work

    tell(f"order: {order}", 0.0)
    eager = captured_order(graph)
    outcome = run(order_strategy, graph, order_values)
    with order_strategy.judged():
        check_order(graph, outcome.order)
    found = rejoin(graph, outcome.order, beside_of(graph, device))
    captured_peak = live_peak(graph, eager).bytes

    tell(f"layout: {layout}", 0.6)
    if time_limit is not None:
        knobs["time_limit"] = max(time_limit - (time.perf_counter() - began), LEAST_SECONDS)
    layout_values = _values(layout_strategy, knobs, layout_parameters)
    # An order is never worse than captured, neither in peak nor in arena; what a step really takes is its arena.
    runs = {order: found} if found == eager else {order: found, "captured": eager}
    candidates: list[tuple[int, Layout, str, Order]] = []
    for name, order_run in sorted(runs.items(), key=lambda item: live_peak(graph, item[1]).bytes):
        peak = live_peak(graph, order_run).bytes
        if peak <= captured_peak and all(peak < placed.arena_bytes for _, placed, _, _ in candidates):
            placed = lay_out(graph, order_run, layout_strategy, layout_values, alignment, device)
            candidates.append((peak, placed, name, order_run))
    peak, best_layout, best_name, best_order = min(candidates, key=lambda entry: (entry[1].arena_bytes, entry[0]))

    tell("bound", 0.9)
    left = None if time_limit is None else time_limit - (time.perf_counter() - began)
    proof = _proof(graph, best_order, outcome, left)
    optimal = proof.bytes == peak
    whole = graph.resident_bytes + best_layout.arena_bytes
    rewritable = bool(kinds) and bool(graph.ops) and graph.can_be_rewritten and rewrite != "none"
    if extra_time is not None and kinds:
        check_graph(graph)
    if budget is not None and whole > budget and not rewritable:
        raise InfeasibleError(
            f"{graph.name}: {budget} bytes are too few for the whole step: the least known to do is {whole} bytes "
            f"({graph.resident_bytes} of them resident), and no order needs less than "
            f"{graph.resident_bytes + proof.bytes}; raise the budget"
            + (" or allow rewrites" if graph.can_be_rewritten else "")
        )
    seconds = time.perf_counter() - began
    timed_out = outcome.timed_out or (time_limit is not None and seconds >= time_limit)
    status: Status = "optimal" if optimal else "timed out" if timed_out else "feasible"
    plan = Plan(
        graph_sha256=fingerprint(graph),
        order=best_order,
        offsets=dict(best_layout.offsets),
        arena_bytes=best_layout.arena_bytes,
        peak_bytes=peak,
        lower_bound_bytes=proof.bytes,
        captured_peak_bytes=captured_peak,
        eager_peak_bytes=graph.eager_peak_bytes,
        optimal=optimal,
        order_strategy=outcome.strategy or order if best_name == order else best_name,
        layout_strategy=layout,
        seconds=seconds,
        seed=seed,
        environment={"python": platform.python_version(), **environment},
        graph=graph,
        certificate=proof if graph.ops else None,
        status=status,
        tasks=outcome.tasks if best_order == outcome.order else None,
    )
    too_large = budget is not None and whole > budget
    if rewritable and (too_large or extra_time is not None or order == "auto"):
        from roam_lab.plan.rewriting import Placing, rewritten_plan

        tell(f"rewrite: {rewrite}", 0.95)
        plan = rewritten_plan(
            graph,
            plan,
            Placing(layout_strategy, layout_values, alignment, device),
            budget=budget if too_large else None,
            extra_time=extra_time,
            kinds=kinds if too_large or extra_time is not None else frozenset(kinds).intersection(FREE),
            strategy=rewrite,
            parameters=rewrite_values,
        )
    tell("done", 1.0)
    return plan


def _proof(graph: Graph, order: Order, outcome: Outcome, time_limit: float | None) -> Certificate:
    """The certificate of the lower bound: that of `order/bound.py`, or the strategy's exhaustive search where that
    proved more."""
    if outcome.lower_bound_bytes:
        peak = live_peak(graph, order)
        if outcome.lower_bound_bytes >= peak.bytes:
            alive = (life.storage for life in lifetimes(graph, order) if life.start <= peak.step < life.end)
            search = Certificate(order[peak.step], tuple(alive), peak.bytes, "search")
            cut = lower_bound(graph, order, time_limit=time_limit)
            return cut if cut.bytes >= search.bytes else search
    return lower_bound(graph, order, time_limit=time_limit)


def lay_out(
    graph: Graph,
    order: Order,
    strategy: Strategy,
    parameters: Mapping[str, Any],
    alignment: int = 64,
    device: str = "cpu",
) -> Layout:
    """The layout of the storages of `order`, checked by the judge. External storages lie among the others or in a
    region of their own above them, as plan/beside.py decides.

    Raises JudgementError if the strategy broke a rule or an offset is no multiple of `alignment`.
    """
    lives = lifetimes(graph, order)
    if device == "cpu":
        layout = _on_the_cpu(graph, lives, strategy, parameters, alignment)
    else:
        beside = set(beside_of(graph, device))
        for _ in range(LENDING_ROUNDS):
            layout = _in_regions(lives, beside, strategy, parameters, alignment)
            layout, missed = _lending(graph, order, layout, beside, alignment)
            if not missed:
                break
            beside |= missed
    with strategy.judged():
        check_layout(lives, layout)
        for storage, offset in layout.offsets.items():
            if offset % alignment:
                raise JudgementError(f"storage {storage} at {offset} is not aligned to {alignment} bytes")
    return layout


def _on_the_cpu(
    graph: Graph, lives: Sequence[Lifetime], strategy: Strategy, parameters: Mapping[str, Any], alignment: int
) -> Layout:
    """A layout with external storages above the others, where that costs next to nothing (`most_apart`); else with all
    in one region."""
    most = most_apart(graph, lives)
    if most is not None:
        above = {life.storage for life in lives if graph.storages[life.storage].external}
        apart = _in_regions(lives, above, strategy, parameters, alignment)
        if apart.arena_bytes <= most:
            return apart
    return _in_regions(lives, (), strategy, parameters, alignment)


def _lending(
    graph: Graph, order: Order, layout: Layout, beside: Collection[int], alignment: int
) -> tuple[Layout, frozenset[int]]:
    """`layout` and the external storages that cannot be lent their range in it. Everything is moved up a little if
    fewer bytes cannot be lent then: a range close to the beginning of the arena cannot be cut out."""
    wanted = {index for index in layout.offsets if graph.storages[index].external} - set(beside)
    shift = -(-(SMALL_BYTES + 1) // alignment) * alignment
    shifted = {storage: offset + shift for storage, offset in layout.offsets.items()}
    found = []
    for placed, lost in ((layout, 0), (Layout(shifted, layout.arena_bytes + shift), shift)):
        missed = frozenset(wanted - lent(graph, order, placed.offsets)[0].keys())
        found.append((lost + sum(graph.storages[storage].bytes for storage in missed), placed, missed))
        if not missed:
            break
    _, placed, missed = min(found, key=lambda one: one[0])
    return placed, missed


def _in_regions(
    lives: Sequence[Lifetime],
    beside: Collection[int],
    strategy: Strategy,
    parameters: Mapping[str, Any],
    alignment: int,
) -> Layout:
    """A layout with the storages of `beside` in a region above all others."""
    offsets: dict[int, int] = {}
    arena_bytes = 0
    for above in (False, True):
        part = [life for life in lives if (life.storage in beside) is above]
        if not part:
            continue
        base = -(-arena_bytes // alignment) * alignment
        rounded = tuple(replace(life, bytes=-(-life.bytes // alignment) * alignment) for life in part)
        placed: Layout = strategy.call(Layout, rounded, **parameters)
        top = max(placed.offsets[life.storage] + life.bytes for life in rounded)
        if top == placed.arena_bytes:  # unless the strategy reserves more, the last bytes need no rounding
            top = max(placed.offsets[life.storage] + life.bytes for life in part)
        else:
            top = placed.arena_bytes
        arena_bytes = base + top
        offsets |= {storage: base + offset for storage, offset in placed.offsets.items()}
    return Layout(offsets, arena_bytes)


def _values(strategy: Strategy, knobs: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments of `strategy`: of the planner's `knobs` those that it declares, overlaid with `given`, and
    defaults. Raises ParameterError."""
    declared = {parameter.name for parameter in strategy.parameters}
    known = {name: value for name, value in knobs.items() if name in declared and value is not None}
    return strategy.accept({**known, **(given or {})})
