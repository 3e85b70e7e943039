"""A plan as Chrome trace events: opens in Perfetto (ui.perfetto.dev) and chrome://tracing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roam_lab.ir import Graph, Order, captured_order, live_curve
from roam_lab.report.graphs import captured_label, graph_of
from roam_lab.report.safe_text import printable

if TYPE_CHECKING:
    from roam_lab.plan import Plan

PLANNED, CAPTURED = 1, 2
"""Process numbers in the trace, which shows the two runs one below the other."""


def trace_events(plan: Plan) -> dict[str, Any]:
    """The planned and the captured run: a slice ("X") for each op, a counter ("C") of live bytes.

    `ts` and `dur` are microseconds where ops were timed, else one microsecond a step (`otherData` says which). Raises
    InputError for a bare plan. (Trace Event Format, Google, 2016.)
    """
    graph = graph_of(plan)
    timed = any(op.time_us for op in graph.ops)
    events: list[dict[str, Any]] = []
    runs: tuple[tuple[int, str, Order], ...] = (
        (PLANNED, f"planned order ({plan.order_strategy})", plan.order),
        (CAPTURED, captured_label(None), captured_order(graph)),
    )
    for process, name, order in runs:
        events.append({"name": "process_name", "ph": "M", "pid": process, "tid": 0, "args": {"name": printable(name)}})
        for number, phase in enumerate(_phases(graph)):
            said = {"name": phase}
            events.append({"name": "thread_name", "ph": "M", "pid": process, "tid": number, "args": said})
        events += _run(graph, order, process, timed)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "graph": printable(graph.name),
            "time": "measured microseconds per op" if timed else "one microsecond a step; ops were not timed",
            "bytes": "predicted live bytes, without resident bytes",
            "peak_bytes": str(plan.peak_bytes),
            "lower_bound_bytes": str(plan.lower_bound_bytes),
            "arena_bytes": str(plan.arena_bytes),
            "resident_bytes": str(graph.resident_bytes),
        },
    }


def _phases(graph: Graph) -> list[str]:
    return list(dict.fromkeys(op.phase or "step" for op in graph.ops))


def _run(graph: Graph, order: Order, process: int, timed: bool) -> list[dict[str, Any]]:
    thread = {phase: number for number, phase in enumerate(_phases(graph))}
    curve = live_curve(graph, order)
    events: list[dict[str, Any]] = []
    now = 0.0
    for step, index in enumerate(order):
        op = graph.ops[index]
        lasts = float(op.time_us or 0.0) if timed else 1.0
        facts = {"op": index, "target": op.target, "module": op.module, "source": op.source}
        created = sum(graph.storages[storage].bytes for storage in op.creates)
        arguments = {
            key: printable(value) if isinstance(value, str) else value for key, value in facts.items() if value
        }
        at = {"pid": process, "ts": round(now, 3)}
        slice_ = {"name": printable(op.name), "cat": op.phase or "step", "ph": "X", "tid": thread[op.phase or "step"]}
        events.append({**slice_, **at, "dur": round(lasts, 3), "args": {**arguments, "created_bytes": created}})
        if step == 0 or curve[step] != curve[step - 1]:
            events.append({"name": "live bytes", "ph": "C", **at, "tid": 0, "args": {"live": int(curve[step])}})
        now += lasts
    events.append({"name": "live bytes", "ph": "C", "pid": process, "ts": round(now, 3), "tid": 0, "args": {"live": 0}})
    return events
