"""Our frontiers beside what others do: python -m benchmarks.budget_page {ours,page} [GRAPH ...]

`ours`: for each graph of ../shared/graphs2, the rewritings known at 12 extra times and within the memory of each
checkpointing, added to benchmarks/results/budget.json. `page`: docs/budget.md and its figures from these, from
budget_rivals.json and from budget_measured.jsonl.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.budget_graphs import NAMES, file_of, graph_of
from benchmarks.line_chart import line_chart
from benchmarks.machine import described
from roam_lab.ir import captured_order, live_peak
from roam_lab.rewrite.frontier import found
from roam_lab.rewrite.points import Goals

ROOT = Path(__file__).resolve().parents[1]
SHARED, RESULTS, DOCS = ROOT.parent / "shared" / "graphs2", ROOT / "benchmarks" / "results", ROOT / "docs"
WANTED = {"gpt2_seq128_batch32": 0.5, "bert_base_seq128_batch32": 0.5, "llama160m_seq1024_batch8": 0.5,
          "vit_b16_batch32": 0.85, "vit_b16_batch32_repeatable": 0.85}  # fmt: skip
"""Of the extra time of checkpointing every block, at no more memory."""
TIMES = (0.0, 0.02, 0.05, 0.07, 0.1, 0.12, 0.15, 0.18, 0.25, 0.29, 0.33, 0.4)
FIGURES = ("gpt2_seq128_batch32", "vit_b16_batch32", "llama160m_seq1024_batch8")
Row = Mapping[str, Any]
Point = Sequence[float]
"""Extra time, and live peak as a part of the captured one."""


def ours(names: Sequence[str], shared: Path) -> None:
    """Plan the graphs and add what was found."""
    rivals, file = _rivals(), RESULTS / "budget.json"
    for name in names:
        began = time.perf_counter()
        graph = graph_of(name, shared)
        captured = live_peak(graph, captured_order(graph)).bytes
        budgets = tuple(sorted(row["peak_bytes"] for row in rivals[name] if row["rival"].startswith("checkpoint")))
        known = found(graph, Goals(TIMES, budgets), "auto", {})
        data = json.loads(file.read_text()) if file.exists() else {"graphs": {}}
        points = [(point.extra_time, point.peak_bytes / captured) for point in known.points]
        seconds = round(time.perf_counter() - began, 1)
        data = {**described(), "graphs": {**data["graphs"], name: {"points": points, "seconds": seconds}}}
        file.write_text(json.dumps(data) + "\n")
        print(f"{name}: {len(points)} points in {seconds} s", flush=True)


def page() -> None:
    """Write docs/budget.md and its figures."""
    data, rivals = json.loads((RESULTS / "budget.json").read_text()), _rivals()
    measured = RESULTS / "budget_measured.jsonl"
    parts = [_head(data), _frontiers(data["graphs"]), _by_rule(data["graphs"], rivals)]
    parts.append(_by_budget(data["graphs"], rivals))
    if measured.exists():
        parts.append(_measured(_lines(measured), _lines(RESULTS / "budget_paired.jsonl")))
    (DOCS / "budget.md").write_text("\n\n".join(parts) + "\n")
    for name in FIGURES:
        if name in data["graphs"]:
            (DOCS / f"budget_{name.partition('_')[0]}.svg").write_text(_figure(name, data["graphs"], rivals))


def _head(data: Row) -> str:
    machine = data["machine"]
    figures = "\n\n".join(f"![{NAMES[name]}](budget_{name.partition('_')[0]}.svg)" for name in FIGURES)
    return f"""# Memory budgets: our plans beside what others do

<!-- written by benchmarks/budget_page.py -->

`make bench-budget` on {data["date"][:10]}, commit {data["commit"]}: {machine["processor"]}, {machine["cores"]} cores.
The graphs are those of `../shared/graphs2`; ops are costed by their `time_us` (the roofline of a GPU, which each graph
names), copies as their ops; `fused_share` is 1.0. Memory is the live peak beside what is resident, as a part of the
captured peak; time is what is added, as a part of the step's. What others do is costed in the same way, in their favour
(`benchmarks/budget_rivals.py`): what checkpointing drops is made again just before it is needed, dropout masks
included, which our plans never draw twice; of torch's partitioned graphs only the forward and backward pass count, and
all is freed at its last use. "Attention repeatable": the files say that attention draws random numbers, whatever its
dropout; where it has none it may be run again, and graphs that are captured now say so. Nothing of this was measured
on a GPU.

{figures}"""


def _frontiers(graphs: Row) -> str:
    times = (0.0, 0.02, 0.05, 0.1, 0.15, 0.25, 0.33)
    lines = ["## Our frontier", "", f"| graph | {' | '.join(f'+{extra:.0%}' for extra in times)} |",
             f"|---|{'---:|' * len(times)}"]  # fmt: skip
    for name, graph in _known(graphs):
        cells = [f"{_peak_at(graph['points'], extra):.3f}" for extra in times]
        lines.append(f"| {NAMES[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_rule(graphs: Row, rivals: Row) -> str:
    lines = [
        "## Against rules", "",
        "Ours: the least extra time known at no more memory than the rule takes. `-`: no plan of ours is as small.", "",
        "| graph | rule | memory | its time | ours | ours / its | wanted |", "|---|---|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for name, graph in _known(graphs):
        for row in rivals[name]:
            if "budget" not in row:
                extra = _time_at(graph["points"], row["peak"])
                part = None if extra is None else extra / row["extra_time"]
                wanted = WANTED.get(name) if row["rival"] == "checkpoint every block" else None
                met = (
                    ""
                    if wanted is None
                    else f"<= {wanted:g}: {'met' if part is not None and part <= wanted else 'NOT met'}"
                )
                lines.append(f"| {NAMES[name]} | {row['rival']} | {row['peak']:.3f} | +{row['extra_time']:.1%} | "
                             f"{_percent(extra)} | {'-' if part is None else f'{part:.2f}'} | {met} |")  # fmt: skip
    return "\n".join(lines)


def _by_budget(graphs: Row, rivals: Row) -> str:
    lines = [
        "## Against torch's activation_memory_budget", "",
        "For each of its budgets: the memory and time of the graphs that its partitioner made. Ours: the least extra",
        "time known at no more memory, and the least memory known at no more time. Its time is against its own graph",
        "with every op once, before its pass that makes equal ops one: where it is below 0, that pass has saved more",
        "than was computed again. Its graph of long GPT-2 takes 0.857 of our peak with nothing made twice.", "",
        "| graph | budget | memory | time | our time at its memory | our memory at its time | both less |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for name, graph in _known(graphs):
        for row in rivals[name]:
            if "budget" in row:
                extra = _time_at(graph["points"], row["peak"])
                peak = _peak_at(graph["points"], row["extra_time"])
                less = extra is not None and extra < row["extra_time"] and peak < row["peak"]
                lines.append(f"| {NAMES[name]} | {row['budget']:g} | {row['peak']:.3f} | +{row['extra_time']:.1%} | "
                             f"{_percent(extra)} | {peak:.3f} | {'yes' if less else 'no'} |")  # fmt: skip
    return "\n".join(lines)


def _measured(rows: Sequence[Row], paired: Sequence[Row]) -> str:
    lines = [
        "## Measured on this machine", "",
        "`make bench-budget-measured`, as far as it has come. Memory: the process's peak above what it held before,",
        "over the plan's arena; and with what is resident, over the budget: resident + arena. Time: what a",
        "step takes longer than with the plan that rewrites nothing, beside what was predicted from ops timed on this",
        "machine (`roam profile --timing`): the median of steps in turn with that plan, or (*) the fastest step of a",
        "run of its own, as good as the machine is even from one minute to the next: here not within 10 %.", "",
        "| model | arena MiB | peak / arena | peak / budget | predicted | measured | points apart |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    in_turn = {(row["model"], row["number"]): row["measured_extra_time"] for row in paired}
    kept = close = 0
    for row in sorted(rows, key=lambda row: (row["model"], row["number"])):
        place = row["model"], row["number"]
        took, mark = in_turn.get(place, row["measured_extra_time"]), "" if place in in_turn else "*"
        apart = 100 * (took - row["extra_time"])
        over, budget = row["peak_bytes"] / row["arena_bytes"], row["arena_bytes"] + row["resident_bytes"]
        whole = (row["peak_bytes"] + row["resident_bytes"]) / budget
        kept, close = kept + (whole <= 1.05), close + (abs(apart) <= 5)
        lines.append(f"| {row['model']} | {row['arena_bytes'] / 2**20:,.0f} | {over:.3f} | {whole:.3f} | "
                     f"+{row['extra_time']:.1%} | {took:+.1%}{mark} | {apart:+.1f} |")  # fmt: skip
    lines += [
        "",
        f"Within 5 % of the budget: {kept} of {len(rows)}; within 5 points of the predicted time: {close}.",
    ]
    return "\n".join(lines)


def _figure(name: str, graphs: Row, rivals: Row) -> str:
    lines: dict[str, list[tuple[float, float]]] = {
        "ours": [(100 * x, y) for x, y in graphs[name]["points"] if x > 1e-3]
    }
    for row in rivals[name]:
        label = row["rival"].replace("activation_memory_budget", "torch's budget").replace("checkpoint every", "every")
        if row["extra_time"] > 1e-3:
            lines.setdefault(label, []).append((100 * row["extra_time"], row["peak"]))
    title = f"{NAMES[name]}: memory against time"
    return line_chart(title, "extra time, %", "live peak / captured peak", lines, (0.1, 1, 5, 10, 25, 50, 100))


def _peak_at(points: Sequence[Point], extra: float) -> float:
    return min((peak for time_, peak in points if time_ <= extra + 1e-9), default=1.0)


def _time_at(points: Sequence[Point], peak: float) -> float | None:
    return min((extra for extra, found_ in points if found_ <= peak), default=None)


def _percent(extra: float | None) -> str:
    return "-" if extra is None else f"+{extra:.1%}"


def _known(graphs: Row) -> list[tuple[str, Row]]:
    return [(name, graphs[name]) for name in NAMES if name in graphs]


def _lines(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _rivals() -> dict[str, list[Row]]:
    found_: dict[str, list[Row]] = json.loads((RESULTS / "budget_rivals.json").read_text())
    return {name: found_[file_of(name)] for name in NAMES if file_of(name) in found_}


def main() -> None:
    """One of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("ours", "page"))
    parser.add_argument("graphs", nargs="*", default=list(NAMES))
    parser.add_argument("--shared", type=Path, default=SHARED)
    asked = parser.parse_args()
    if asked.stage == "ours":
        ours(asked.graphs, asked.shared)
    else:
        page()


if __name__ == "__main__":
    sys.exit(main())
