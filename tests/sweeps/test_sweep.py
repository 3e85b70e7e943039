"""Sweeps that really capture and plan: what is run, what is kept, what is told."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest

import roam_lab as roam
from roam_lab.errors import FormatError, InputError, RoamWarning
from roam_lab.sweeps import sweeping
from roam_lab.sweeps.rows import FAILED, INFEASIBLE, PLANNED, Task, failed_rows
from roam_lab.sweeps.rows_file import RowsFile
from roam_lab.sweeps.worker import work

TABLE = "table.jsonl"


def lines() -> list[dict[str, Any]]:
    """The rows in the file, in the sequence in which they came."""
    return [json.loads(line) for line in Path(TABLE).read_text().splitlines()]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Batch sizes of the points that are run from now on."""
    return counting(monkeypatch, work)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The same, where nothing is captured: every point is answered at once."""

    def at_once(task: Task) -> list[dict[str, Any]]:
        return [{**row, "status": INFEASIBLE} for row in failed_rows(task, "nothing fits")]

    return counting(monkeypatch, at_once)


def counting(monkeypatch: pytest.MonkeyPatch, doing: Callable[[Task], list[dict[str, Any]]]) -> list[int | None]:
    sizes: list[int | None] = []

    def counted(task: Task) -> list[dict[str, Any]]:
        sizes.extend(point.batch for point in task.points.values())
        if 99 in sizes:
            raise KeyboardInterrupt
        return doing(task)

    monkeypatch.setattr(sweeping, "work", counted)
    return sizes


@pytest.mark.slow
def test_four_points_in_processes_of_their_own(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    points = roam.grid("train.py:make", batch=(1, 64), optimizer=("AdamW", "SGD"), order="captured", rewrites=())
    heard: list[float] = []
    table = roam.sweep(points, to=TABLE, jobs=2, progress=lambda what, part: heard.append(part))
    assert [(row["point"]["batch"], row["point"]["optimizer"]) for row in table.rows] == [
        (1, "AdamW"), (1, "SGD"), (64, "AdamW"), (64, "SGD"),
    ]  # fmt: skip
    assert {row["status"] for row in table.rows} == {PLANNED}
    assert heard == [0, 0.25, 0.5, 0.75, 1]
    parameters = 4 * (8 * 16 + 16 + 16 * 2 + 2)
    adamw, sgd, larger, _ = table.rows
    assert adamw["resident_bytes"] - sgd["resident_bytes"] == 2 * parameters + 4 * 4  # two moments, four counters
    assert larger["resident_bytes"] - adamw["resident_bytes"] == 63 * (4 * 8 + 8)
    assert larger["arena_bytes"] > adamw["arena_bytes"]
    assert sorted(map(json.dumps, lines())) == sorted(map(json.dumps, table.to_data()))
    assert "making" not in capfd.readouterr().out
    # the same figures as one captured and planned by itself
    plan = roam_plan(folder, 64)
    assert (larger["arena_bytes"], larger["graph_sha256"]) == (plan.arena_bytes, plan.graph_sha256)


def roam_plan(folder: Path, batch: int) -> Any:
    """The plan of the factory's step at a batch size, by the ordinary way."""
    from roam_lab.app.session import made_by
    from roam_lab.capture.batch_size import resized

    made = made_by(f"{folder}/train.py:make")
    made["batch"] = resized(made["batch"], batch)
    return roam.profile(**made, fake=True).plan("captured", rewrites=())


def test_only_what_is_missing_is_run_again(folder: Path, answered: list[int]) -> None:
    first = roam.sweep(roam.grid("train.py:make", batch=(1, 2)), to=TABLE)
    more = roam.sweep(roam.grid("train.py:make", batch=(1, 2, 3)), to=TABLE)
    assert answered == [1, 2, 3]
    assert (len(first), len(more)) == (2, 3)
    elsewhere = folder / "moved"
    elsewhere.mkdir()
    for name in ("train.py", "layers.py"):
        (folder / name).rename(elsewhere / name)
    roam.sweep(roam.grid("moved/train.py:make", batch=(1, 2, 3)), to=TABLE)
    assert answered == [1, 2, 3]


def test_an_edited_module_beside_the_factory_is_seen(folder: Path, ran: list[int]) -> None:
    points = roam.grid("train.py:make", batch=2)
    (before,) = roam.sweep(points, to=TABLE).rows
    (folder / "layers.py").write_text("WIDTH = 1600\n")
    (after,) = roam.sweep(points, to=TABLE).rows
    assert ran == [2, 2]
    assert after["resident_bytes"] > 50 * before["resident_bytes"]
    assert roam.load_sweep(TABLE).to_data() == [after]


def test_a_failed_point_is_a_row_and_runs_again(folder: Path, ran: list[int]) -> None:
    points = roam.grid("train.py:make", batch=(5, 4))
    four, five = roam.sweep(points, to=TABLE).rows
    assert (four["status"], five["status"]) == (PLANNED, FAILED)
    assert "five rows are refused" in five["error"]
    assert "\n" not in five["error"]
    assert "five rows are refused" in roam.load_sweep(TABLE).text()
    roam.sweep(points, to=TABLE)
    assert ran == [5, 4, 5]


def test_a_budget_that_cannot_be_met_is_an_answer(folder: Path, ran: list[int]) -> None:
    points = roam.grid("train.py:make", batch=2, budget=("1KiB", "1GiB"))
    small, large = roam.sweep(points, to=TABLE).rows
    assert (small["status"], large["status"]) == (INFEASIBLE, PLANNED)
    assert "1024 bytes are too few" in small["error"]
    assert "2 points: 1 planned, 1 without a plan that fits" in repr(roam.sweep(points, to=TABLE))
    assert ran == [2, 2]


def test_a_torn_last_line_is_cut_off_and_its_point_run_again(folder: Path, answered: list[int]) -> None:
    points = roam.grid("train.py:make", batch=(1, 2))
    roam.sweep(points, to=TABLE)
    whole = Path(TABLE).read_bytes()
    Path(TABLE).write_bytes(whole[:-40])
    assert len(roam.load_sweep(TABLE)) == 1
    with pytest.warns(RoamWarning, match=r"table\.jsonl: its last line was torn"):
        table = roam.sweep(points, to=TABLE)
    assert answered == [1, 2, 2]
    assert [row["point"]["batch"] for row in lines()] == [1, 2]
    assert len(table) == 2
    Path(TABLE).write_bytes(Path(TABLE).read_bytes().rstrip())  # an editor leaves the last line's end out
    roam.sweep(roam.grid("train.py:make", batch=(1, 2, 3)), to=TABLE)
    assert [row["point"]["batch"] for row in lines()] == [1, 2, 3]
    assert answered == [1, 2, 2, 3]


def test_an_interrupt_keeps_the_rows(folder: Path, answered: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        roam.sweep(roam.grid("train.py:make", batch=(1, 99, 3)), to=TABLE)
    assert [row["point"]["batch"] for row in lines()] == [1]
    assert answered == [1, 99]
    with RowsFile(TABLE) as file:  # its lock is gone
        assert len(file.rows) == 1


def test_other_axes(folder: Path) -> None:
    points = [
        {"factory": "train.py:make", "batch": 2, "dtype": "float32"},
        {"factory": "train.py:make", "batch": 2, "dtype": "bf16"},
        {"factory": "train.py:tokens", "sequence": 12},
        {"factory": "train.py:make", "sequence": 12},
        {"factory": "train.py:valued", "batch": 3},
    ]
    rows = {(row["point"]["factory"][9:], row["point"]["dtype"]): row for row in roam.sweep(points, to=TABLE).rows}
    wide, narrow = rows["make", "float32"], rows["make", "bfloat16"]
    assert wide["resident_bytes"] - 2 * narrow["resident_bytes"] == -(2 * 8 + 4 * 4)  # labels and counters are as large
    assert (rows["tokens", None]["batch_size"], rows["tokens", None]["sequence_length"]) == (2, 12)
    assert "a sequence length of 12 cannot be given to this batch" in rows["make", None]["error"]
    assert rows["valued", None]["status"] == PLANNED


@pytest.mark.parametrize(
    "content",
    [b"import torch\n", b"\x80\x02weights without a line's end", b"[1, 2]\n", b'{"format": "roam-sweep/9"}\n'],
)
def test_a_file_of_another_kind_is_left_as_it_is(folder: Path, content: bytes) -> None:
    Path(TABLE).write_bytes(content)
    with pytest.raises(FormatError, match=r"table\.jsonl:1: .* give a file that `roam sweep -o` wrote"):
        roam.sweep(roam.grid("train.py:make"), to=TABLE)
    assert Path(TABLE).read_bytes() == content


def test_one_writer_at_a_time(folder: Path) -> None:
    with RowsFile(TABLE), pytest.raises(InputError, match="another sweep writes to it"):
        roam.sweep(roam.grid("train.py:make"), to=TABLE)


def test_tasks_can_be_sent_and_share_captures(folder: Path) -> None:
    wanted, sources = sweeping._keyed(roam.grid("train.py:make", batch=(1, 2), extra_time=(0, 0.1, 0.2)))
    sizes: Callable[[int], list[int]] = lambda jobs: [  # noqa: E731
        len(task.points) for task in sweeping._tasks(sources, wanted, jobs)
    ]
    assert (sizes(1), sizes(2), sizes(6)) == ([3, 3], [3, 3], [1] * 6)
    (task, _) = sweeping._tasks(sources, wanted, 1)
    assert pickle.loads(pickle.dumps(task)) == task
    assert {point.captured for point in task.points.values()} == {("train.py:make", 1, None, None, None, None)}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_killed_worker_is_one_failed_row(folder: Path, backend: str) -> None:
    with joblib.parallel_config(backend, n_jobs=2):
        rows = roam.sweep(roam.grid("train.py:make", batch=(6, 7, 8), extra_time=(0, 0.1)), to=TABLE).rows
    assert [row["status"] for row in rows] == [PLANNED, PLANNED, FAILED, FAILED, PLANNED, PLANNED]
    assert rows[2]["error"].startswith("its process ended")


@pytest.mark.slow
def test_on_a_dask_cluster(folder: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        table = roam.sweep(roam.grid("train.py:make", batch=(1, 2, 5)), to=TABLE)
    assert [row["status"] for row in table.rows] == [PLANNED, PLANNED, FAILED]


@pytest.mark.slow
def test_on_a_ray_cluster(folder: Path) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False)
    try:
        register_ray()
        with joblib.parallel_config("ray"):
            table = roam.sweep(roam.grid("train.py:make", batch=(1, 2, 5)), to=TABLE)
    finally:
        ray.shutdown()
    assert [row["status"] for row in table.rows] == [PLANNED, PLANNED, FAILED]
