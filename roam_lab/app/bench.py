"""Every strategy on a graph, in this process: the table behind `roam bench`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from roam_lab.errors import RoamError
from roam_lab.ir import Graph
from roam_lab.plan import make_plan
from roam_lab.progress import Progress, silent
from roam_lab.registry import find, strategies
from roam_lab.report.text import table
from roam_lab.report.units import bytes_text

HEADINGS = ("graph", "order", "layout", "peak", "gap", "arena", "arena/peak", "seconds")


def bench(
    graph: Graph,
    orders: Sequence[str] | None = None,
    layouts: Sequence[str] | None = None,
    time_limit: float | None = None,
    progress: Progress = silent,
) -> Iterator[dict[str, Any]]:
    """A row for each order with the layout auto, and for each layout with the order auto; None: all of them.

    Sizes in bytes, times in seconds. What fails gives a row with an `error`. Raises UnknownStrategyError at once for
    a name that is not there.
    """
    pairs = [(find("order", name).name, "auto") for name in orders or _names("order")]
    pairs += [("auto", find("layout", name).name) for name in layouts or _names("layout")]
    if orders and not layouts:
        pairs = pairs[: len(orders)]
    if layouts and not orders:
        pairs = pairs[-len(layouts) :]
    chosen = list(dict.fromkeys(pairs))
    for number, (order, layout) in enumerate(chosen):
        progress(f"{graph.name}: order {order}, layout {layout}", number / len(chosen))
        row: dict[str, Any] = {"graph": graph.name, "order": order, "layout": layout}
        try:
            plan = make_plan(graph, order=order, layout=layout, rewrites=(), time_limit=time_limit)
        except RoamError as error:
            yield {**row, "error": str(error)}
            continue
        yield {
            **row,
            "peak_bytes": plan.peak_bytes,
            "lower_bound_bytes": plan.lower_bound_bytes,
            "optimal": plan.optimal,
            "arena_bytes": plan.arena_bytes,
            "captured_peak_bytes": plan.captured_peak_bytes,
            "kept_order": plan.order_strategy,
            "seconds": plan.seconds,
        }


def bench_text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table in text."""
    return table([HEADINGS, *map(_line, rows)], right=frozenset({3, 4, 5, 6, 7}))


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    start = (row["graph"], row["order"], row["layout"])
    if "error" in row:
        return (*start, row["error"], "", "", "", "")
    peak, bound, arena = (row[f"{key}_bytes"] for key in ("peak", "lower_bound", "arena"))
    gap = "optimal" if row["optimal"] else f"{100 * (peak / bound - 1):.2f} %" if bound else "unproven"
    over = f"{arena / peak:.4f}" if peak else ""
    return (*start, bytes_text(peak), gap, bytes_text(arena), over, f"{row['seconds']:.2f}")


def _names(room: Any) -> list[str]:
    return [strategy.name for strategy in strategies(room)]
