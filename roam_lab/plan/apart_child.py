"""Plans one graph: GRAPH.json PLAN.roam.json GOALS. Run by roam_lab.plan.apart, not imported."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(graph: str, plan: str, goals: str) -> None:
    """Read the file `graph` and write the file `plan`, bare if nothing was rewritten. `goals`: arguments of `make_plan`
    as JSON."""
    from roam_lab.ir.graph_json import load_graph
    from roam_lab.plan import make_plan

    made = make_plan(load_graph(graph), **json.loads(goals))
    made.save(plan, bare=not made.rewrites)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the folder of this file has a plan.py, and is no package
    main(*sys.argv[1:4])
