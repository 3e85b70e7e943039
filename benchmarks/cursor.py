"""How soon memory, arena, graph and icicle follow the cursor while it is dragged, in an exported page in Chromium.

    python benchmarks/cursor.py [--moves 60] [--output benchmarks/results/cursor.json]
    python benchmarks/cursor.py --page

`--page` writes docs/lab.md from this result file and that of benchmarks/panel.py.

The clock runs from each move of the pointer to the end of the frame in which the icicle names the step. Needs chromium
and playwright, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import described, write
from playwright.sync_api import sync_playwright

from roam_lab.report.figures import linked, page
from tests.browser import CHROMIUM, FLAGS
from tests.report.figures.in_page import READY, SOURCE, place_in
from tests.report.views.graphs import blocks, stacked_plan

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {2_000: 0.100, 10_000: 0.250}
"""Seconds, by ops: nine moves in ten take no longer."""
RECORD = f"""() => {{
  const find = {SOURCE}
  const cursor = find("roam-cursor"), icicle = find("roam-icicle-data")
  const frame = () => new Promise(requestAnimationFrame)
  window.roamMoves = []
  document.addEventListener("pointermove", async (event) => {{
    if (!event.buttons) return
    const began = performance.now()
    await new Promise(queueMicrotask)
    const named = () => Number(/step ([\\d,]+) of/.exec(icicle.data.label[0])[1].replaceAll(",", "")) - 1
    do await frame(); while (named() !== cursor.data.step[0] && performance.now() - began < 5000)
    setTimeout(() => window.roamMoves.push((performance.now() - began) / 1000), 0)
  }}, true)
}}"""


def measured(ops: int, moves: int) -> dict[str, object]:
    """One drag through the memory figure of a step with about `ops` ops."""
    plan = stacked_plan(blocks(ops // 9))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "page.html"
        path.write_text(page("cursor", linked(plan)), "utf-8")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        tab = browser.new_page(viewport={"width": 1400, "height": 1000})
        tab.goto(f"file://{path}")
        tab.wait_for_function(READY)
        tab.wait_for_timeout(1000)
        tab.evaluate(RECORD)
        left, y = place_in(tab, "roam-memory", 0.05, 0.5)
        right, _ = place_in(tab, "roam-memory", 0.95, 0.5)
        tab.mouse.move(left, y)
        tab.mouse.down()
        for number in range(moves):
            tab.mouse.move(left + (right - left) * (number + 1) / moves, y)
            tab.wait_for_timeout(30)
        tab.mouse.up()
        tab.wait_for_timeout(500)
        seconds = sorted(tab.evaluate("window.roamMoves"))
        browser.close()
    return {
        "ops": len(plan.order),
        "moves": len(seconds),
        "median_seconds": round(statistics.median(seconds), 4),
        "nine_in_ten_seconds": round(seconds[int(0.9 * (len(seconds) - 1))], 4),
        "most_seconds": round(seconds[-1], 4),
        "limit_seconds": LIMITS[ops],
    }


def page_of(cursor: dict[str, Any], panel: dict[str, Any]) -> str:
    """docs/lab.md."""
    lines = [
        f"| {row['ops']:,} | {1000 * row['median_seconds']:.0f} ms | {1000 * row['nine_in_ten_seconds']:.0f} ms "
        f"| {1000 * row['most_seconds']:.0f} ms | {1000 * row['limit_seconds']:.0f} ms |"
        for row in cursor["rows"]
    ]
    of = f"({panel['machine']['processor']}, {panel['date'][:10]})"
    return "\n".join(
        [
            "# How soon the lab follows",
            "",
            "Written by `python benchmarks/cursor.py --page` from `benchmarks/results/cursor.json` and `panel.json`.",
            "",
            "## The cursor",
            "",
            "From a move of the pointer to the end of the frame in which all figures show the step, in Chromium, drawn",
            f"without a GPU on {cursor['machine']['cores']} cores ({cursor['machine']['processor']}, "
            f"{cursor['date'][:10]}); {cursor['rows'][0]['moves']} moves each.",
            "",
            "| ops | median | nine in ten | longest | nine in ten at most |",
            "|---:|---:|---:|---:|---:|",
            *lines,
            "",
            *(_verdict_lines(panel["verdicts"], of, panel["verdict_limit_seconds"]) if "verdicts" in panel else []),
            "## A plan in view",
            "",
            "From a plan that is ready in the kernel to figures and table of `%roam lab` that show it, in JupyterLab",
            f"{of}; the limit is {panel['limit_seconds']:g} s.",
            "",
            "| what was chosen | ops | median | longest | of |",
            "|---|---:|---:|---:|---:|",
            _plan_line("another order", panel["rows"]),
            *([_plan_line("5 % more time", panel["more_time"])] if panel.get("more_time") else []),
            "",
            *([panel["note"], ""] if panel.get("note") else []),
            "`python benchmarks/panel.py` measures this. `tests/lab/test_first_time.py` plays the whole path: profile,",
            "verdict, cursor, 5 % more time, export; and holds the bits that the script trains against those of eager.",
            "",
        ]
    )


def _verdict_lines(rows: list[dict[str, Any]], of: str, limit: float) -> list[str]:
    lines = [
        "## The verdict in view",
        "",
        "From the end of capture to the verdict on eager below the cell of `%roam profile`, and to the plan's, in",
        f"JupyterLab {of}; the first within {limit:g} s.",
        "",
        "| ops | eager: median | longest | plan: median | longest |",
        "|---:|---:|---:|---:|---:|",
    ]
    for ops in sorted({row["ops"] for row in rows}):
        cells = [f"{ops:,}"]
        for key in ("seconds", "planned_seconds"):
            seconds = [row[key] for row in rows if row["ops"] == ops]
            cells += [f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s"]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _plan_line(what: str, rows: list[dict[str, Any]]) -> str:
    seconds = [row["seconds"] for row in rows]
    ops = ", ".join(sorted({f"{row['ops']:,}" for row in rows}))
    return f"| {what} | {ops} | {statistics.median(seconds):.2f} s | {max(seconds):.2f} s | {len(seconds)} |"


def main() -> None:
    """Print and write the figures; exit 1 where one move in ten takes longer than its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--output", default="benchmarks/results/cursor.json")
    parser.add_argument("--page", action="store_true", help="write the page from the files that are there")
    options = parser.parse_args()
    if options.page:
        files = [Path(options.output), ROOT / "benchmarks" / "results" / "panel.json"]
        write(str(ROOT / "docs" / "lab.md"), page_of(*(json.loads(path.read_text("utf-8")) for path in files)))
        return
    rows = [measured(ops, options.moves) for ops in LIMITS]
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    write(options.output, json.dumps({**described(), "rows": rows}, indent=1))
    sys.exit(any(float(str(row["nine_in_ten_seconds"])) > float(str(row["limit_seconds"])) for row in rows))


if __name__ == "__main__":
    main()
