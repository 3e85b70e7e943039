"""How soon figures and table of `%roam lab` show a plan once it is ready, in JupyterLab in Chromium.

    python benchmarks/panel.py [--rounds 3] [--output benchmarks/results/panel.json]

The clock runs from the plan reaching the kernel to the third frame after the page holds its data. Needs what the
notebook tests need (chromium, the front end built) and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import described, write

from tests.browser import open_page, running_lab
from tests.lab.panel_page import Panel

LIMIT_SECONDS = 1.0
ORDERS = ("roam", "captured", "lescea", "captured")
"""Each gives another plan of the small transformer than the one before it."""
NOTE = """
import time
ready = []
first = panel.background._done
def note(plan):
    ready.append(time.time())
    first(plan)
panel.background._done = note
"""
"""Notes when a plan is ready, before the panel hears of it."""


def measured(rounds: int) -> list[dict[str, object]]:
    """A row a change of the order, as a user makes it in the page."""
    root = Path(tempfile.mkdtemp())
    rows = []
    with running_lab(root) as lab, open_page(lab, 1500, 1300) as page:
        panel = Panel(page, root / "panel.ipynb")
        panel.run(NOTE)
        ops = panel.kernel("len(panel.profile.graph.ops)")
        for turn in range(rounds):
            for order in ORDERS:
                panel.run("ready.clear()")
                panel.remember()
                panel.choose("order", order)
                shown = panel.wait_for_words(order, other=True)
                (ready,) = panel.kernel("ready")
                rows.append({"round": turn, "order": order, "ops": ops, "seconds": round(shown - ready, 3)})
    return rows


def main() -> None:
    """Print and write the figures; exit 1 if a change took longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", default="benchmarks/results/panel.json")
    options = parser.parse_args()
    rows = measured(options.rounds)
    seconds = [float(str(row["seconds"])) for row in rows]
    for row in rows:
        print(f"{row['order']:8} {row['seconds']:.3f} s")
    print(f"median {statistics.median(seconds):.3f} s, most {max(seconds):.3f} s, limit {LIMIT_SECONDS} s")
    write(options.output, json.dumps({**described(), "limit_seconds": LIMIT_SECONDS, "rows": rows}, indent=1))
    sys.exit(max(seconds) > LIMIT_SECONDS)


if __name__ == "__main__":
    main()
