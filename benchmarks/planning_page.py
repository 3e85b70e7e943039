"""docs/planning.md: the planning benchmark's rows as tables, beside what others have published."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from machine import mib

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "planning.md"
SCALING = ROOT / "benchmarks" / "results" / "scaling.json"
EARLIER = ROOT / "benchmarks" / "results" / "planning_earlier.json"
"""What the run before found, of each row only what it is compared by; `planning.py --fresh` writes it."""
Row = Mapping[str, Any]
BEST_KNOWN = {
    **dict.fromkeys("ABEFGHIK", (1_048_576, "1,048,576")),
    "C": (1_039_360, "1,039,360"),
    "D": (1_048_576, "open, 986,112 to 1,048,576"),
    "J": (1_048_576, "open, 989,184 to 1,048,576"),
    "somas_resnet50": (1_515_472_556, "1,515,472,556"),
    "somas_pangu_2.6B": (5_530_099_775, "at least 5,530,099,775; 1.033 of it known"),
}
"""Heights in bytes to compare with, and what is known of them (../shared/FORMATS.md)."""


def page(results: str) -> str:
    """The whole page, from the JSON of `planning.py` and, where it is there, of `scaling.py`."""
    data = json.loads(Path(results).read_text())
    rows = [row for row in data["rows"] if "error" not in row]
    graphs = [row for row in rows if row["kind"] == "graph"]
    instances = [row for row in rows if row["kind"] == "instance"]
    failed = [row for row in data["rows"] if "error" in row]
    parts = [_head(data), _orders(graphs), _layouts(graphs), _instances(instances), _published(graphs, instances)]
    if SCALING.exists():
        parts.append(_scaling(json.loads(SCALING.read_text())))
    if EARLIER.exists():
        parts.append(_beside_earlier(rows, json.loads(EARLIER.read_text())))
    if failed:
        parts.append("## Without a result\n\n" + "\n".join(f"- {row['key']}: {row['error']}" for row in failed))
    return "\n\n".join(parts) + "\n"


def _head(data: Mapping[str, Any]) -> str:
    machine, rows = data["machine"], data["rows"]
    limits = sorted({f"{row['time_limit']:g} s" for row in rows if row["time_limit"]})
    refused = [row["key"] for row in rows if row.get("judged", "accepted") != "accepted"]
    verdict = f"REFUSED by the judge: {', '.join(refused)}." if refused else "The judge accepted every one."
    return f"""# Planning, measured

<!-- written by benchmarks/planning.py -->

`make bench-planning` on {data["date"][:10]}, commit {data["commit"]}: {machine["processor"]}, {machine["cores"]} cores,
Python {data["versions"]["python"]}, torch {data["versions"].get("torch", "absent")}. {len(rows):,} runs, each a process
of its own with one thread, with a time limit of {" or ".join(limits) or "none"} for each strategy that takes one. A
result is what the strategy itself found (`roam plan` falls back on the captured order where that is better), judged by
`../shared/judge.py`, which shares no code with us. {verdict} Seconds are the strategy's own, without imports and
compilation. All figures: `benchmarks/results/planning.json`. `inductor` and `executorch_greedy` are the other projects'
own code; lpmf, bfs, dfs, xla_list, lescea, llfb, greedy_by_size, hill_climb, canonical, boxing and both model_ilp are
ours, after them. Both model_ilp and cp_sat begin with a layout or an order of ours (list schedule, skyline, best fit)
and, on graphs too large for their programs, end with it: there they are no measure of the ILP as published."""


def table(lines: Iterable[Iterable[str]], names: int = 1) -> str:
    """Markdown; the first line is the head, all but the first `names` columns stand right."""
    head, *rest = [list(line) for line in lines]
    rule = ["---" if column < names else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *rest])


def _grid(
    rows: Iterable[Row], down: str, across: list[str], cell: Callable[[Row], str], best: Callable[[Row], float]
) -> str:
    """A row a strategy, a column a graph or instance; strategies that do best on average first."""
    by_strategy: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_strategy.setdefault(row[down], {})[row["name"]] = row

    def rank(name: str) -> tuple[int, float, str]:
        found = by_strategy[name].values()
        return -len(found), statistics.fmean(map(best, found)), name

    lines = [[down, *across]]
    for name in sorted(by_strategy, key=rank):
        found = by_strategy[name]
        lines.append([name, *(cell(found[key]) if key in found else "" for key in across)])
    return table(lines)


def _short(name: str) -> str:
    return name.replace("_adamw", "").replace("_fused", "").replace("_seq128", "").replace("_batch", " b")


def bounds(graphs: Iterable[Row]) -> dict[str, int]:
    """The best lower bound that any run proved, by graph."""
    found: dict[str, int] = {}
    for row in graphs:
        found[row["name"]] = max(found.get(row["name"], 0), row["lower_bound_bytes"])
    return found


def _orders(graphs: list[Row]) -> str:
    rows = [{**row, "name": _short(row["name"])} for row in graphs if row["layout"] == "auto"]
    bound = bounds({**row, "name": _short(row["name"])} for row in graphs)
    names = sorted({row["name"] for row in rows})
    captured = {row["name"]: row["captured_peak_bytes"] for row in rows}
    ops = {row["name"]: row["ops"] for row in rows}

    def over(row: Row) -> float:
        return 100 * (row["peak_bytes"] / bound[row["name"]] - 1) if bound[row["name"]] else float("inf")

    def cell(row: Row) -> str:
        return f"{'**0**' if over(row) == 0 else f'{over(row):.2f}'}{'*' if row['timed_out'] else ''}"

    facts = [["", *names], ["ops", *(f"{ops[name]:,}" for name in names)]]
    facts.append(["captured peak, MiB", *(mib(captured[name]) for name in names)])
    facts.append(["lower bound, MiB", *(mib(bound[name]) for name in names)])
    facts.append(
        ["captured over it, %", *(f"{100 * (captured[n] / bound[n] - 1):.1f}" if bound[n] else "" for n in names)]
    )

    def cost(row: Row) -> str:
        return f"{row['order_seconds']:.2f} / {row['peak_resident_bytes'] / 2**20:.0f}"

    return (
        "## Orders\n\nLive peak over the best lower bound that any run proved, in percent; **0** is proven optimal, * "
        f"stopped at a limit.\n\n{table(facts)}\n\n{_grid(rows, 'order', names, cell, over)}\n\nSeconds of the order / "
        "peak resident MiB of the whole process.\n\n"
        + _grid(rows, "order", names, cost, lambda row: row["order_seconds"])
    )


def _layouts(graphs: list[Row]) -> str:
    rows = [{**row, "name": _short(row["name"])} for row in graphs if row["order"] == "auto"]
    names = sorted({row["name"] for row in rows})

    def over(row: Row) -> float:
        return 100 * (row["arena_bytes"] / row["peak_bytes"] - 1)

    return (
        "## Layouts of the reordered graphs\n\nArena over the live peak of the auto order, in percent (offsets are "
        f"multiples of 64 bytes).\n\n{_grid(rows, 'layout', names, lambda row: f'{over(row):.3f}', over)}\n\n"
        f"Seconds of the layout.\n\n{_layout_seconds(rows, names)}"
    )


def _layout_seconds(rows: list[Row], names: list[str]) -> str:
    return _grid(rows, "layout", names, lambda row: f"{row['layout_seconds']:.2f}", lambda row: row["layout_seconds"])


def _instances(rows: list[Row]) -> str:
    names = [name for name in BEST_KNOWN if any(row["name"] == name for row in rows)]
    names.sort()

    def over(row: Row) -> float:
        return 100 * (row["arena_bytes"] / BEST_KNOWN[row["name"]][0] - 1)

    known = table([["instance", "best known height, bytes"], *([name, BEST_KNOWN[name][1]] for name in names)])
    return (
        "## Layout instances\n\nHeight over the best known one, in percent (D and J: over 1,048,576; pangu: over its "
        f"live peak, which nobody had reached).\n\n"
        f"{_grid(rows, 'layout', names, lambda row: f'{over(row):.2f}', over)}\n\n"
        f"Seconds.\n\n{_layout_seconds(rows, names)}\n\n{known}"
    )


def _published(graphs: list[Row], instances: list[Row]) -> str:
    """What others published, as we read it, beside the same comparison here."""

    def arenas(order: str, layout: str) -> dict[str, Row]:
        return {row["name"]: row for row in graphs if (row["order"], row["layout"]) == (order, layout)}

    def change(ours: tuple[str, str], theirs: tuple[str, str]) -> str:
        mine, others = arenas(*ours), arenas(*theirs)
        both = sorted(set(mine) & set(others))
        if not both:
            return "not run"
        mean = statistics.fmean(mine[name]["arena_bytes"] / others[name]["arena_bytes"] - 1 for name in both)
        return f"{100 * mean:+.1f} % ({_graphs(both)})"

    def faster(ours: tuple[str, str]) -> str:
        mine, others = arenas(*ours), arenas("model_ilp", "model_ilp")
        both = sorted(set(mine) & set(others))
        if not both:
            return "not run"
        ratio = statistics.median(_seconds(others[name]) / _seconds(mine[name]) for name in both)
        return f"{ratio:,.1f} x (median of {_graphs(both)}; model_ilp stops at its limit or proves its start)"

    pangu = {row["layout"]: row for row in instances if row["name"] == "somas_pangu_2.6B"}
    eager, lescea, ilp = ("captured", "caching_allocator"), ("lescea", "llfb"), ("model_ilp", "model_ilp")
    lines = [["what", "published", "`roam` here", "`auto` here"]]
    for what, published, rival in (
        ("arena against eager PyTorch (captured order, caching allocator)", "-35.7 %", eager),
        ("arena against the heuristics (lescea, llfb)", "-13.3 % or -27.2 %: two earlier methods", lescea),
        (
            "arena against the ILP (model_ilp, which starts from our list schedule and skyline)",
            "-27.2 % or -13.3 %: two earlier methods",
            ilp,
        ),
    ):
        lines.append([what, published, change(("roam", "roam"), rival), change(("auto", "auto"), rival)])
    lines.append(["planning, faster than the ILP", "53.7 x", faster(("roam", "roam")), faster(("auto", "auto"))])
    heights = [_over_pangu(pangu, name) for name in ("boxing", "auto")]
    lines.append(["somas_pangu_2.6B, over its live peak", "3.3 % (idealloc)", f"{heights[0]} (boxing)", heights[1]])
    return (
        "## Beside published figures\n\nROAM's figures (arXiv 2310.19295) are of its own models, batch sizes and "
        "machine, from the abstract; MODeL with Gurobi took 1,813 s, its time limit, on 2,043 ops. Means over the "
        f"graphs above, where both were run.\n\n{table(lines)}"
    )


def _graphs(names: list[str]) -> str:
    return f"{len(names)} graph{'' if len(names) == 1 else 's'}"


def _seconds(row: Row) -> float:
    return float(row["order_seconds"] + row["layout_seconds"])


def _over_pangu(rows: Mapping[str, Row], layout: str) -> str:
    if layout not in rows:
        return "not run"
    return f"{100 * (rows[layout]['arena_bytes'] / rows[layout]['peak_bytes'] - 1):.2f} %"


def as_earlier(data: Mapping[str, Any]) -> str:
    """The JSON of a run, as the next one has it beside its own."""
    compared = ("key", "peak_bytes", "arena_bytes", "order_seconds", "layout_seconds")
    rows = [{key: row[key] for key in compared if key in row} for row in data["rows"] if "error" not in row]
    return json.dumps({**{key: data[key] for key in ("date", "commit", "machine")}, "rows": rows}, indent=1) + "\n"


def _beside_earlier(rows: list[Row], earlier: Mapping[str, Any]) -> str:
    """`auto` and `roam` then and now, and how many of all results are larger."""
    before = {row["key"]: row for row in earlier["rows"]}
    both = [(before[row["key"]], row) for row in rows if row["key"] in before]
    larger = [sum(now[what] > then[what] for then, now in both) for what in ("peak_bytes", "arena_bytes")]
    lines = [["graph", "order and layout", "peak then, MiB", "now", "arena then, MiB", "now", "seconds then", "now"]]
    for then, now in both:
        if now["kind"] == "graph" and (now["order"], now["layout"]) in (("auto", "auto"), ("roam", "roam")):
            sizes = [mib(one[what]) for what in ("peak_bytes", "arena_bytes") for one in (then, now)]
            seconds = [f"{_seconds(one):.2f}" for one in (then, now)]
            lines.append([_short(now["name"]), now["order"], *sizes, *seconds])
    machine = earlier["machine"]
    return (
        f"## Beside the run before\n\nThe run of {earlier['date'][:10]}, commit {earlier['commit']}, on "
        f"{machine['processor']}, {machine['cores']} cores; seconds compare machines, too. Of {len(both):,} results "
        f"that both have, {larger[0]} have a higher peak now, and {larger[1]} a larger arena.\n\n{table(lines, 2)}"
    )


def _scaling(data: Mapping[str, Any]) -> str:
    rows = [row for row in data["rows"] if "error" not in row]
    grown = [row for row in rows if row["kind"] == "graph" and row["node_limit"] is None]
    sizes = sorted({row["ops"] for row in grown})
    orders = sorted({row["order"] for row in grown})
    found = {(row["order"], row["ops"]): row for row in grown}
    lines = [["order", *(f"{size:,} ops" for size in sizes)]]
    for order in orders:
        cells = (found.get((order, size)) for size in sizes)
        lines.append(
            [order, *("" if row is None else f"{_seconds(row):.2f}{'*' if row['timed_out'] else ''}" for row in cells)]
        )
    parts = [
        "## How cost grows\n\nGenerated training steps (tests/plan/training_step.py) of 1,000 to 100,000 ops; seconds "
        f"of order and layout; * stopped at a limit.\n\n![Seconds over ops](planning_growth.svg)\n\n{table(lines)}"
    ]
    curve = sorted(
        (row for row in rows if row["node_limit"] is not None), key=lambda row: (row["name"], row["node_limit"])
    )
    if curve:
        lines = [
            ["graph", "node_limit", "peak, MiB", "all leaves, s", "leaves", "optimal", "timed out", "slowest leaf, s"]
        ]
        for row in curve:
            leaves = row["leaves"] or {}
            told = [str(leaves.get(key, "")) for key in ("count", "optimal", "timed out", "slowest_seconds")]
            figures = [str(row["node_limit"]), mib(row["peak_bytes"]), f"{leaves.get('seconds', 0.0):.2f}"]
            lines.append([_short(row["name"]), *figures, *told])
        parts.append(
            "## Partition granularity\n\nThe order `roam` with leaves of at most node_limit ops, each solved as an "
            "integer program (`leaves=all`;\nby default only where no certificate settles it, which is nowhere on "
            "these graphs). Where leaves time out, the seconds are cut off.\n\n"
            f"![Seconds over node_limit](planning_node_limit.svg)\n\n{table(lines)}"
        )
    return "\n\n".join(parts)
