"""The stop button while strategies search in C++ and in processes of their own: nothing goes on, nothing is printed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
SETUP = """
import random, sys
from roam_lab.solvers.ilp import modeller, solve, variable
from roam_lab.ir import Graph, Lifetime, Op, Storage
from roam_lab.layout.cp_sat import cp_sat
from roam_lab.order.roam import roam

draw = random.Random(1)

def knots(count, size):
    "One after another, each a long search: every op reads what up to three of the eight before it made."
    ops = []
    for index in range(count * size):
        start = index - index % size
        near = range(max(start, index - 8), index) or range(max(0, start - size), start)
        reads = tuple(near) if index == start else tuple({draw.choice(near) for _ in range(draw.randint(1, 3))})
        ops.append(Op(f"op_{index}", "t", tuple(sorted(reads)), (index,), tuple(sorted(reads))))
    return Graph("knots", tuple(Storage(draw.choice((1, 8, 50, 100, 500))) for _ in ops), tuple(ops))

def program(rows, columns):
    "A market split problem: small, and out of reach."
    pulp = modeller()
    made = pulp.LpProblem("split", pulp.LpMinimize)
    chosen = [variable(made, f"x{column}", 0, 1, "Integer") for column in range(columns)]
    over = [variable(made, f"s{row}", 0, None) for row in range(2 * rows)]
    made += pulp.lpSum(over)
    for row in range(rows):
        weights = [draw.randrange(100) for _ in chosen]
        whole = pulp.lpSum(weight * one for weight, one in zip(weights, chosen))
        made += whole + over[2 * row] - over[2 * row + 1] == sum(weights) // 2
    return made

def easy():
    pulp = modeller()
    made = pulp.LpProblem("easy", pulp.LpMinimize)
    x = variable(made, "x", 3, 9, "Integer")
    made += 2 * x
    return solve(made, sys.argv[1]).objective

def lives():
    made = []
    for number in range(150):
        start = draw.randrange(100)
        made.append(Lifetime(number, start, start + draw.randrange(1, 40), draw.randrange(1, 2000) * 64))
    return tuple(made)

def search():
    if sys.argv[1] == "roam":
        roam(knots(3, 90), node_limit=98, leaves="all", workers=2, leaf_nodes=10**9, leaf_seconds=600.0)
    elif sys.argv[1] == "cp_sat":
        cp_sat(lives(), time_limit=600.0)
    else:
        solve(program(6, 50), sys.argv[1], time_limit=600.0)
"""
MAIN = """
try:
    print("searching", flush=True)
    search()
    print("never")
except KeyboardInterrupt:
    print("interrupted", flush=True)
if sys.argv[1] in ("highs", "cbc"):
    print(easy(), flush=True)
sys.stdin.read()
"""


def searches(process: psutil.Process) -> bool:
    """Whether it is alive, and not one that only tidies up behind workers."""
    with suppress(psutil.NoSuchProcess):  # it ended just now
        return process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(process.cmdline())
    return False


def begun_by(process: subprocess.Popen[str]) -> set[psutil.Process]:
    return set(filter(searches, psutil.Process(process.pid).children(recursive=True)))


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("search", "works", "threads"), [("roam", 1, 1), ("roam", 4, 1), ("highs", 1, 1), ("cbc", 1, 1), ("cp_sat", 0, 2)]
)
def test_what_searches_ends(search: str, works: int, threads: int, tmp_path: Path) -> None:
    """Stop when so many processes search, or when a thread waits for C++."""
    with subprocess.Popen(
        [sys.executable, "-c", SETUP + MAIN, search],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        watch = threading.Timer(PATIENCE, process.kill)
        watch.start()
        try:
            assert line(process) == "searching"
            while len(begun := begun_by(process)) < works or psutil.Process(process.pid).num_threads() < threads:
                assert process.poll() is None
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGINT)
            assert line(process) == "interrupted"
            if search in ("highs", "cbc"):
                assert line(process) == "6.0"
            while search != "highs" and any(map(searches, begun)):  # its process may wait for the next question
                assert process.poll() is None
                time.sleep(0.02)
            assert process.communicate("")[1] == ""
            assert process.returncode == 0
        finally:
            watch.cancel()
            process.kill()
