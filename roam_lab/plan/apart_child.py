"""Plans one graph: GRAPH.json PLAN.roam.json SEED. Run by roam_lab.plan.apart, not imported."""

from __future__ import annotations

import sys
from pathlib import Path


def main(graph: str, plan: str, seed: int) -> None:
    """Read the graph, write the plan, without the graph in it."""
    from roam_lab.ir.graph_json import load_graph
    from roam_lab.plan import make_plan

    make_plan(load_graph(graph), seed=seed).save(plan, bare=True)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the folder of this file has a plan.py, and is no package
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
