"""A cache of plans on disk: a machine plans the same step for the same goals only once.

The key of a plan is a digest of everything that planning looks at: the graph without names, kinds, source lines and
times, the goals, and the version of roam-lab. Captures have a cache of their own (`capture/stored/`), as they depend
on the step's code and objects.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from roam_lab.errors import RoamError
from roam_lab.ir import Graph
from roam_lab.ir.graph_json import graph_to_data
from roam_lab.ir.kept_files import make_room
from roam_lab.plan.plan import SUFFIX, Plan
from roam_lab.plan.plan_json import load_plan

MOST_BYTES = 512 * 2**20
"""The most bytes of a folder; beyond that the plans that were not used for longest are removed."""
_NO_MATTER = ("name", "source", "module", "time_us")


def default_folder() -> Path:
    """`$ROAM_CACHE`, else `roam-lab/plans` in the user's folder for caches."""
    own = os.environ.get("ROAM_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "roam-lab", "plans")


class PlanCache:
    """A folder of plans, which several processes may share. `notes`: a list to which a sentence is appended where an
    entry cannot be used or written."""

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, notes: list[str] | None = None, most_bytes: int = MOST_BYTES
    ) -> None:
        self.folder = default_folder() if folder is None else Path(folder)
        self.notes = [] if notes is None else notes
        self._most_bytes = most_bytes

    def find(self, graph: Graph, goals: Mapping[str, Any]) -> Plan | None:
        """The plan of a graph for these arguments of `make_plan`, checked against the graph like every plan from a
        file; None where there is none, or a damaged one, which `keep` will replace."""
        path = self._path(graph, goals)
        if not path.is_file():
            return None
        try:
            plan = load_plan(path, graph)
        except RoamError as error:
            self.notes.append(f"a plan in the cache is not used: {error}")
            return None
        with suppress(OSError):
            os.utime(path)  # used last
        return plan if plan.rewrites else replace(plan, graph=graph)

    def keep(self, plan: Plan, graph: Graph, goals: Mapping[str, Any]) -> None:
        """Write a plan that `make_plan` made of `graph` for these goals. Where it cannot be written, `notes` says so,
        and nothing is raised."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            plan.save(self._path(graph, goals), bare=not plan.rewrites)
            make_room(self.folder, SUFFIX, self._most_bytes)
        except (RoamError, OSError) as error:
            what = str(error).partition(";")[0]
            self.notes.append(f"the plan is not kept for the next start: {what}; set ROAM_CACHE to another folder")

    def _path(self, graph: Graph, goals: Mapping[str, Any]) -> Path:
        data = graph_to_data(graph)
        ops = [{key: value for key, value in op.items() if key not in _NO_MATTER} for op in data["ops"]]
        storages = [{key: value for key, value in one.items() if key != "kind"} for one in data["storages"]]
        facts = [version("roam-lab"), storages, ops, dict(goals), graph.environment.get("device")]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        return self.folder / f"{digest[:32]}{SUFFIX}"
