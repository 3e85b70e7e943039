"""Integer programs: built with PuLP, solved by HiGHS or CBC; one place that knows what their answers mean."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SOLVERS = ("highs", "cbc")
Answer = Literal["optimal", "feasible", "infeasible", "unknown"]

GRACE_SECONDS = 1.0
"""How long after its time limit a solver may still answer."""


@dataclass(frozen=True, slots=True)
class Solved:
    """How a solve ended. "feasible": stopped by a limit with a solution; "unknown": stopped without one.

    `values`: the variables' values by name, empty without a solution. `bound`: the objective is proven to be no better.
    """

    answer: Answer
    objective: float | None
    bound: float | None
    values: Mapping[str, float]


def variable(program: Any, name: str, low: float | None, high: float | None, cat: str = "Continuous") -> Any:
    """A new variable of the pulp.LpProblem `program`, in the way that the installed PuLP wants."""
    import pulp

    if hasattr(program, "add_variable"):
        return program.add_variable(name, low, high, cat)
    return pulp.LpVariable(name, low, high, cat)


def solve(
    program: Any,
    solver: str = "highs",
    time_limit: float | None = None,
    start: Mapping[str, float] | None = None,
    seed: int = 0,
    node_limit: int | None = None,
) -> Solved:
    """Minimise the pulp.LpProblem `program`, whose objective is a whole number, on one thread: deterministic.

    Scale sizes down (by their greatest common divisor): solvers count to a relative 1e-6 or so. `time_limit`:
    seconds. `start`: a solution by variable name to begin with, whole or in part. `node_limit`: nodes of the search
    tree, the limit to prefer, as it does not depend on the machine.
    """
    if time_limit is not None and time_limit <= 0:
        return Solved("unknown", None, None, {})
    return _SOLVE[solver](program, time_limit, start, seed, node_limit)


def _highs(
    program: Any, time_limit: float | None, start: Mapping[str, float] | None, seed: int, node_limit: int | None
) -> Solved:
    options: dict[str, Any] = {"threads": 1, "mip_rel_gap": 0.0, "mip_abs_gap": 0.5, "random_seed": seed}
    if time_limit is not None:
        options["time_limit"] = time_limit
    if node_limit is not None:
        options["mip_max_nodes"] = node_limit
    with tempfile.TemporaryDirectory(prefix="roam_ilp_") as folder:
        model, asked = Path(folder, "model.mps"), Path(folder, "options.json")
        program.writeMPS(str(model))
        asked.write_text(json.dumps({"options": options, "start": dict(start or {})}), encoding="utf-8")
        command = [sys.executable, str(Path(__file__).with_name("highs_child.py")), str(model), str(asked)]
        late = None if time_limit is None else time_limit + GRACE_SECONDS
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=late)
        except subprocess.TimeoutExpired:
            return Solved("unknown", None, None, {})
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise RuntimeError(f"HiGHS failed on {program.name} ({reason}); install highspy anew or choose solver cbc")
    found = json.loads(done.stdout)
    if found["infeasible"]:
        return Solved("infeasible", None, None, {})
    if found["objective"] is None:
        return Solved("unknown", None, found["bound"], {})
    answer: Answer = "optimal" if found["optimal"] else "feasible"
    return Solved(answer, found["objective"], found["bound"], found["values"])


def _cbc(
    program: Any, time_limit: float | None, start: Mapping[str, float] | None, seed: int, node_limit: int | None
) -> Solved:
    import pulp

    for variable in program.variables() if start else ():
        if variable.name in (start or {}):
            variable.setInitialValue((start or {})[variable.name])
    options = [f"randomSeed {seed + 1}"]
    limits = {"timeLimit": time_limit, "threads": 1, "gapRel": 0.0, "maxNodes": node_limit, "options": options}
    program.solve(pulp.PULP_CBC_CMD(msg=False, warmStart=bool(start), **limits))
    if program.sol_status == pulp.LpSolutionInfeasible:
        return Solved("infeasible", None, None, {})
    if program.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        return Solved("unknown", None, None, {})
    objective = float(pulp.value(program.objective))
    optimal = program.sol_status == pulp.LpSolutionOptimal
    values = {variable.name: float(variable.varValue or 0.0) for variable in program.variables()}
    return Solved("optimal" if optimal else "feasible", objective, objective if optimal else None, values)


_SOLVE = {"highs": _highs, "cbc": _cbc}
