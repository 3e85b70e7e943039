"""Integer programs: what the solvers' answers mean, and HiGHS apart from OR-tools."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from roam_lab.solvers import ilp
from roam_lab.solvers.ilp import SOLVERS, modeller, solve, variable


def knapsack(count: int = 12, fixed: float | None = None) -> Any:
    """Leave as little as possible of a room of 97 with sizes 11, 14, 17, ...; `fixed`: what is to be left."""
    pulp = modeller()
    program = pulp.LpProblem("knapsack", pulp.LpMinimize)
    taken = [variable(program, f"x{i}", 0, 1, "Binary") for i in range(count)]
    left = variable(program, "left", 0, 97, "Integer")
    program += left
    program += left + pulp.lpSum((11 + 3 * i) * one for i, one in enumerate(taken)) == 97
    if fixed is not None:
        program += left == fixed
    return program


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_optimum(solver: str) -> None:
    solved = solve(knapsack(), solver)
    assert (solved.answer, solved.objective) == ("optimal", 0.0)
    assert solved.bound is not None
    assert solved.bound > -0.5
    total = sum((11 + 3 * i) * round(solved.values[f"x{i}"]) for i in range(12))
    assert total + round(solved.values["left"]) == 97
    assert solve(knapsack(), solver) == solved


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_solution(solver: str) -> None:
    assert solve(knapsack(fixed=0.5), solver).answer == "infeasible"


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_time(solver: str) -> None:
    assert solve(knapsack(), solver, time_limit=0).answer == "unknown"


def hard(count: int = 40) -> Any:
    """Market split: equations in binaries, each with slack; hopeless to prove."""
    import random

    draw = random.Random(0)
    pulp = modeller()
    program = pulp.LpProblem("split", pulp.LpMinimize)
    taken = [variable(program, f"x{i}", 0, 1, "Binary") for i in range(count)]
    slack = [variable(program, f"s{j}", 0, None, "Integer") for j in range(10)]
    program += pulp.lpSum(slack)
    for row in range(5):
        sizes = [draw.randrange(100) for _ in range(count)]
        part = pulp.lpSum(size * one for size, one in zip(sizes, taken, strict=True))
        program += part + slack[2 * row] - slack[2 * row + 1] == sum(sizes) // 2
    return program


@pytest.mark.parametrize("solver", SOLVERS)
def test_it_stops_at_its_time_limit(solver: str) -> None:
    began = time.perf_counter()
    solved = solve(hard(), solver, time_limit=0.7)
    assert time.perf_counter() - began < 10  # generous: the machine may be busy
    assert solved.answer in ("feasible", "unknown")


def test_it_stops_at_its_node_limit() -> None:
    few, more = (solve(hard(20), "highs", node_limit=limit) for limit in (1, 100))
    assert few.answer == more.answer == "feasible"
    assert few.objective is not None
    assert more.objective is not None
    assert more.objective < few.objective
    assert solve(hard(20), "highs", node_limit=100) == more
    assert solve(hard(20), "highs", node_limit=0).answer == "unknown"


def test_a_start_is_taken_up() -> None:
    best = solve(hard(20), "highs", node_limit=100)
    start = {name: value for name, value in best.values.items() if name[0] == "x"}
    begun = solve(hard(20), "highs", node_limit=1, start=start)
    assert best.objective is not None
    assert begun.objective is not None
    assert begun.objective <= best.objective + 0.5


def test_a_solver_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ilp, "GRACE_SECONDS", -0.95)  # it is stopped before its own limit
    assert solve(hard(), "highs", time_limit=1.0).answer == "unknown"
    monkeypatch.undo()
    assert solve(knapsack(), "highs").answer == "optimal"


def test_a_solver_that_dies_says_so_and_the_next_solve_works() -> None:
    solve(knapsack(), "highs")
    ilp._child(os.getpid()).kill()
    with pytest.raises(RuntimeError, match="choose the solver cbc"):
        solve(knapsack(), "highs")
    assert solve(knapsack(), "highs").answer == "optimal"


PRINTING = """
import os
os.write(1, b"printed before the first line, without an end")
"""
BANNER = """
import importlib, os, sys
own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.remove(own)
del sys.modules["highspy"]
sys.modules["highspy"] = real = importlib.import_module("highspy")
os.write(1, b"Running HiGHS: descriptor\\n")
print("Running HiGHS: Python", flush=True)
ran = real.Highs.run
def run(*arguments):
    os.write(1, b'{"model": "another"}\\nand without an end')
    print("Optimal", flush=True)
    return ran(*arguments)
real.Highs.run = run
"""


@pytest.mark.parametrize(
    ("module", "source"),
    [("sitecustomize.py", PRINTING), ("highspy/__init__.py", BANNER)],
    ids=["sitecustomize", "highspy"],
)
def test_what_libraries_print_is_no_answer(
    module: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / module).parent.mkdir(exist_ok=True)
    (tmp_path / module).write_text(source)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])]))
    ilp._end(ilp._child(os.getpid()))  # the next one starts with this path
    try:
        for _ in range(2):
            assert solve(knapsack(), "highs").answer == "optimal"
        assert "".join(capfd.readouterr()) == ""
    finally:
        ilp._end(ilp._child(os.getpid()))


def test_a_solver_that_fails_says_its_own_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "highspy.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])]))
    monkeypatch.setattr(ilp, "GRACE_SECONDS", 60.0)  # a busy machine
    ilp._end(ilp._child(os.getpid()))
    with pytest.raises(RuntimeError, match="HiGHS ended with status 3; install highspy anew"):
        solve(knapsack(), "highs")


BOTH = """
import sys
from tests.solvers.test_ilp import knapsack
from roam_lab.solvers.ilp import solve
from roam_lab.order.bound import lower_bound
from tests.plan.graphs import pumpkin
for turn in range(2):
    assert solve(knapsack()).answer == "optimal"
    assert lower_bound(pumpkin()).bytes > 0
print("ortools" in str(sorted(sys.modules)), "highspy" in sys.modules)
"""


def test_highs_and_ortools_get_along() -> None:
    done = subprocess.run([sys.executable, "-c", BOTH], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
