"""Integer programs: built with PuLP, solved by HiGHS or CBC, whose answers are translated into one form here."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from roam_lab.interrupt import deaf_children, held

SOLVERS = ("highs", "cbc")
Answer = Literal["optimal", "feasible", "infeasible", "unknown"]

_ONE_AT_A_TIME = threading.Lock()

GRACE_SECONDS = 1.0
"""How long after its time limit a solver may still answer."""


@dataclass(frozen=True, slots=True)
class Solved:
    """How a solve ended. "feasible": stopped by a limit with a solution; "unknown": stopped without one.

    `values`: the variables' values by name, empty without a solution. `bound`: a proven lower bound of the objective.
    """

    answer: Answer
    objective: float | None
    bound: float | None
    values: Mapping[str, float]


def modeller() -> Any:
    """The module PuLP, imported without highspy, which it would load though HiGHS runs in a child (highs_child.py)."""
    if "pulp" not in sys.modules and "highspy" not in sys.modules:
        sys.modules["highspy"] = None  # type: ignore[assignment]
        try:
            import pulp
        finally:
            del sys.modules["highspy"]
    import pulp

    return pulp


def variable(program: Any, name: str, low: float | None, high: float | None, cat: str = "Continuous") -> Any:
    """A new variable of the pulp.LpProblem `program`, in the way that the installed PuLP wants."""
    if hasattr(program, "add_variable"):
        return program.add_variable(name, low, high, cat)
    return modeller().LpVariable(name, low, high, cat)


def solve(
    program: Any,
    solver: str = "highs",
    time_limit: float | None = None,
    start: Mapping[str, float] | None = None,
    seed: int = 0,
    node_limit: int | None = None,
) -> Solved:
    """Minimise the pulp.LpProblem `program`, whose objective is a whole number, on one thread: deterministic.

    Divide sizes by their greatest common divisor before: solvers are exact to a relative 1e-6 or so. `time_limit`: in
    seconds. `start`: values by variable's name of a solution to begin with, whole or in part. `node_limit`: nodes of
    the search tree; the limit to be preferred, as it does not depend on the machine.
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
        with _ONE_AT_A_TIME:
            found = _ask(str(model), str(asked), None if time_limit is None else time_limit + GRACE_SECONDS)
    if found is None:
        return Solved("unknown", None, None, {})
    if found["infeasible"]:
        return Solved("infeasible", None, None, {})
    if found["objective"] is None:
        return Solved("unknown", None, found["bound"], {})
    answer: Answer = "optimal" if found["optimal"] else "feasible"
    return Solved(answer, found["objective"], found["bound"], found["values"])


@cache
def _child(of_process: int) -> subprocess.Popen[str]:
    """The process that holds HiGHS; it ends with this one, as its input does."""
    command = [sys.executable, str(Path(__file__).with_name("highs_child.py"))]
    with deaf_children():
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(child.kill)
    return child


def _ask(model: str, options: str, seconds: float | None) -> dict[str, Any] | None:
    """The child's answer; None if there is none in `seconds`. Raises RuntimeError if it fails."""
    child = _child(os.getpid())  # a forked process needs one of its own
    assert child.stdin is not None
    assert child.stdout is not None
    late = threading.Event()

    def stop() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(seconds, stop) if seconds is not None else None
    try:
        if timer:
            timer.start()
        child.stdin.write(json.dumps([model, options]) + "\n")
        child.stdin.flush()
        # What sitecustomize or a .pth file printed before the child's first line is no answer
        mark = json.dumps({"model": model})[:-1]
        whole = (line for line in child.stdout if line.startswith(mark) and line.endswith("\n"))
        answer = next(whole, "")
    except BrokenPipeError:
        answer = ""
    except BaseException:  # an interrupt: the child's late answer must not be taken for that of the next request
        _end(child)
        raise
    finally:
        if timer:
            timer.cancel()
    if answer:
        found: dict[str, Any] = json.loads(answer)
        return found
    with suppress(subprocess.TimeoutExpired):  # its channel closes a little before it ends by itself, with its status
        child.wait(GRACE_SECONDS if not late.is_set() else 0)
    _end(child)
    if late.is_set():
        return None
    raise RuntimeError(f"HiGHS ended with status {child.returncode}; install highspy anew or choose the solver cbc")


def _end(child: subprocess.Popen[str]) -> None:
    """Kill the child; the next request starts another."""
    with held():
        child.kill()
        child.communicate()
        _child.cache_clear()


def _cbc(
    program: Any, time_limit: float | None, start: Mapping[str, float] | None, seed: int, node_limit: int | None
) -> Solved:
    pulp = modeller()

    for variable in program.variables() if start else ():
        if variable.name in (start or {}):
            variable.setInitialValue((start or {})[variable.name])
    options = [f"randomSeed {seed + 1}"]
    limits = {"timeLimit": time_limit, "threads": 1, "gapRel": 0.0, "maxNodes": node_limit, "options": options}
    cbc = getattr(pulp, "PULP_CBC_CMD", pulp.COIN_CMD)  # PuLP 4 has only the second
    try:
        program.solve(cbc(msg=False, warmStart=bool(start), **limits))
    except BaseException:  # an interrupt: PuLP leaves CBC to itself
        _end_cbc()
        raise
    if pulp.LpStatusInfeasible in (program.status, program.sol_status):
        return Solved("infeasible", None, None, {})
    if program.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        return Solved("unknown", None, None, {})
    objective = float(pulp.value(program.objective))
    optimal = program.sol_status == pulp.LpSolutionOptimal
    values = {variable.name: float(variable.varValue or 0.0) for variable in program.variables()}
    return Solved("optimal" if optimal else "feasible", objective, objective if optimal else None, values)


def _end_cbc() -> None:
    """Kill the processes that PuLP has started."""
    import psutil  # type: ignore[import-untyped]

    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "cbc" in child.name():
                child.kill()


_SOLVE = {"highs": _highs, "cbc": _cbc}
