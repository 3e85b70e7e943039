"""Integer programs: built with PuLP, solved by HiGHS or CBC; one place that knows what their answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SOLVERS = ("highs", "cbc")
Answer = Literal["optimal", "feasible", "infeasible", "unknown"]


@dataclass(frozen=True, slots=True)
class Solved:
    """How a solve ended. "feasible": stopped by a limit with a solution; "unknown": stopped without one.

    `values`: the variables' values by name, empty without a solution. `bound`: the objective is proven to be no better.
    """

    answer: Answer
    objective: float | None
    bound: float | None
    values: Mapping[str, float]


def solve(
    program: Any,
    solver: str = "highs",
    time_limit: float | None = None,
    start: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Solved:
    """Minimise the pulp.LpProblem `program`, whose objective is a whole number, on one thread: deterministic.

    Scale sizes down (by their greatest common divisor): solvers count to a relative 1e-6 or so. `time_limit`:
    seconds. `start`: a solution by variable name to begin with, whole or in part.
    """
    if time_limit is not None and time_limit <= 0:
        return Solved("unknown", None, None, {})
    return _SOLVE[solver](program, time_limit, start, seed)


def _highs(program: Any, time_limit: float | None, start: Mapping[str, float] | None, seed: int) -> Solved:
    import highspy
    import numpy as np
    import pulp

    solver = pulp.HiGHS(msg=False, threads=1, timeLimit=time_limit, gapRel=0.0, gapAbs=0.5, random_seed=seed)
    solver.createAndConfigureSolver(program)
    solver.buildSolverModel(program)
    model = program.solverModel
    if start:
        known = [(variable.index, start[variable.name]) for variable in program.variables() if variable.name in start]
        columns, levels = zip(*known, strict=True)
        model.setSolution(len(known), np.array(columns, np.int32), np.array(levels, np.float64))
    solver.callSolver(program)
    info, status = model.getInfo(), model.getModelStatus()
    has_solution = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
    bound = info.mip_dual_bound if abs(info.mip_dual_bound) < highspy.kHighsInf else None
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return Solved("infeasible", None, None, {})
    if not has_solution:
        return Solved("unknown", None, bound, {})
    levels = model.getSolution().col_value
    values = {variable.name: levels[variable.index] for variable in program.variables()}
    answer: Answer = "optimal" if status == highspy.HighsModelStatus.kOptimal else "feasible"
    return Solved(answer, info.objective_function_value, bound, values)


def _cbc(program: Any, time_limit: float | None, start: Mapping[str, float] | None, seed: int) -> Solved:
    import pulp

    for variable in program.variables() if start else ():
        if variable.name in (start or {}):
            variable.setInitialValue((start or {})[variable.name])
    limits = {"timeLimit": time_limit, "threads": 1, "gapRel": 0.0, "options": [f"randomSeed {seed + 1}"]}
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
