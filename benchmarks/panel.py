"""How soon a first-time user sees the answers of `%roam profile` and `%roam lab`, in JupyterLab in Chromium.

    python benchmarks/panel.py [--rounds 3] [--output benchmarks/results/panel.json]

- From the end of capture to the third frame after the cell of `%roam profile` shows the verdict on eager, and to the
  one after it shows the plan's.
- From a plan that is ready in the kernel to the third frame after figures and table of `%roam lab` show it: for other
  orders, and for 5 % more time.

Needs what the notebook tests need (chromium, the front end built) and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import described, write

from tests.browser import open_page, running_lab
from tests.lab.panel_page import CELLS, Panel

LIMIT_SECONDS = 1.0
VERDICT_LIMIT_SECONDS = 2.0
LAYERS = (3, 11)
"""Of the small transformer: about 500 and 2,000 ops."""
ORDERS = ("roam", "captured", "lescea", "captured")
"""Each gives another plan of the small transformer than the one before it."""
NOTE = """
import time
import roam_lab.magic
ready, captured = [], []
first, shows = panel.background._done, roam_lab.magic.profile_shown
def note(plan):
    ready.append(time.time())
    first(plan)
def profile_shown(*given):
    captured.append(time.time())
    return shows(*given)
panel.background._done, roam_lab.magic.profile_shown = note, profile_shown
"""
"""Notes when a plan is ready, before the panel hears of it, and when a step is captured, before the cell shows it."""
SHOWS = """async ([number, words]) => {
  const cell = window.jupyterapp.shell.currentWidget.content.widgets[number]
  const seen = () => {
    const picture = cell.node.querySelector("img.roam-image")
    const told = cell.node.querySelector(".roam-verdict")?.innerText
    return picture?.complete && picture.naturalWidth && told?.includes(words)
  }
  const end = Date.now() + 120000
  while (!seen()) {
    if (Date.now() > end) throw new Error("the cell never showed " + words)
    await new Promise(requestAnimationFrame)
  }
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame)
  return Date.now() / 1000
}"""
"""Waits until the verdict of a cell has these words, and is painted; seconds since the epoch."""
PROFILE = 2
"""The cell of `%roam profile` in CELLS."""


def verdicts(panel: Panel, rounds: int) -> list[dict[str, object]]:
    """A row a run of the cell that profiles."""
    tab, rows = panel.page.page, []
    for turn in range(rounds):
        panel.run("captured.clear()")
        tab.evaluate(
            """number => {
              const book = window.jupyterapp.shell.currentWidget.content
              book.widgets[number].model.clearExecution()
              book.activeCellIndex = number
              return book.scrollToItem(number)
            }""",
            PROFILE,
        )
        tab.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
        eager = float(tab.evaluate(SHOWS, [PROFILE, ""]))
        planned = float(tab.evaluate(SHOWS, [PROFILE, " -> "]))
        panel.wait_until("len(captured) == 1")
        (ready,) = panel.kernel("captured")
        ops = panel.kernel("len(p.graph.ops)")
        seconds = {"seconds": round(eager - ready, 3), "planned_seconds": round(planned - ready, 3)}
        rows.append({"round": turn, "ops": ops, **seconds})
    return rows


def orders(panel: Panel, rounds: int) -> list[dict[str, object]]:
    """A row a change of the order, as a user makes it in the page."""
    ops, rows = panel.kernel("len(panel.profile.graph.ops)"), []
    for turn in range(rounds):
        for order in ORDERS:
            panel.run("ready.clear()")
            panel.remember()
            panel.choose("order", order)
            shown = panel.wait_for_words(order, other=True)
            (ready,) = panel.kernel("ready")
            rows.append({"round": turn, "order": order, "ops": ops, "seconds": round(shown - ready, 3)})
    return rows


def more_time(panel: Panel, rounds: int) -> list[dict[str, object]]:
    """A row each time that 5 % more time is allowed, by a tick."""
    ops, rows = panel.kernel("len(panel.profile.graph.ops)"), []
    panel.choose("order", "auto")
    panel.wait_until("not panel.background.busy")
    for turn in range(rounds):
        panel.run("ready.clear()")
        panel.remember()
        panel.tick("extra time")
        shown = panel.wait_for_legend("% time)")
        ready = panel.kernel("ready[0]")
        rows.append({"round": turn, "ops": ops, "seconds": round(shown - ready, 3)})
        panel.wait_until("not panel.background.busy", 120)
        panel.remember()
        panel.tick("extra time", False)
        panel.wait_for_legend("(free)")
        panel.wait_until("not panel.background.busy", 120)
    return rows


def measured(rounds: int) -> Iterator[dict[str, list[dict[str, object]]]]:
    """The rows of each kind, so far: after each model."""
    root = Path(tempfile.mkdtemp())
    found: dict[str, list[dict[str, object]]] = {"verdicts": [], "rows": [], "more_time": []}
    with running_lab(root) as lab:
        for layers in LAYERS:
            setup = CELLS[1].replace("layer(), layer(), layer()", ", ".join(["layer()"] * layers))
            with open_page(lab, 1500, 1300) as page:
                panel = Panel(page, root / f"panel{layers}.ipynb", (CELLS[0], setup, *CELLS[2:]))
                panel.run(NOTE)
                if layers == LAYERS[0]:
                    found["rows"] += orders(panel, rounds)
                    found["more_time"] += more_time(panel, rounds)
                found["verdicts"] += verdicts(panel, rounds)  # last: the panel's profile is no more what the name means
                yield found


def main() -> None:
    """Print and write the figures; exit 1 if one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", default="benchmarks/results/panel.json")
    parser.add_argument("--note", default="", help="a sentence for the page, such as what else the machine did")
    options = parser.parse_args()
    limit = {"limit_seconds": LIMIT_SECONDS, "verdict_limit_seconds": VERDICT_LIMIT_SECONDS, "note": options.note}
    for found in measured(options.rounds):
        write(options.output, json.dumps({**described(), **limit, **found}, indent=1))
    limits = {"verdicts": VERDICT_LIMIT_SECONDS, "rows": LIMIT_SECONDS, "more_time": LIMIT_SECONDS}
    late = False
    for kind, rows in found.items():
        seconds = [float(str(row["seconds"])) for row in rows]
        for row in rows:
            print(kind, row)
        print(f"{kind}: median {statistics.median(seconds):.3f} s, most {max(seconds):.3f} s, limit {limits[kind]} s")
        late |= max(seconds) > limits[kind]
    sys.exit(late)


if __name__ == "__main__":
    main()
