"""A sweep: which points are missing, their tasks through joblib, and each row appended to the file as it comes."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from roam_lab.errors import InputError, RoamWarning
from roam_lab.progress import Progress, silent
from roam_lab.sweeps.points import SweepPoint, point_of
from roam_lab.sweeps.rows import Task, failed_rows, keys_missing
from roam_lab.sweeps.rows_file import RowsFile, read_rows
from roam_lab.sweeps.sources import Sources, sources_of
from roam_lab.sweeps.table import SweepTable
from roam_lab.sweeps.worker import work

MOST_POINTS = 4
"""Most points of one capture in a task, so that rows come often."""


def _warned(sentence: str) -> None:
    warnings.warn(sentence, RoamWarning, stacklevel=3)


def sweep(
    points: Iterable[SweepPoint | Mapping[str, Any]],
    *,
    to: str | os.PathLike[str],
    jobs: int | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] = _warned,
) -> SweepTable:
    """Capture every point without weights, plan it, and append its row to the file `to` as soon as it is there.

    `points`: of `grid`, or dicts of the fields of SweepPoint. Points that have a row in the file are not run again,
    unless they failed. A row is identified by all that it depends on: the point, the factory's file with the modules
    beside it, the versions of the packages that these import. `jobs`: processes, as joblib's n_jobs (-1: one a core;
    None: what `joblib.parallel_config` says, else 1); the backend is joblib's, which may be Dask or Ray. On other
    machines the factory's file must lie at the same path. `tell` is called with remarks (default: RoamWarning), and
    `progress(what, part)` with the progress. Rows have sizes in bytes, times in seconds.

    A point that fails has a row that says why, in one sentence, and the others go on. After an interrupt, the rows so
    far are in the file. Raises InputError, before anything is run, for invalid points and files.
    """
    wanted, tasks_of = _keyed(points)
    if jobs is not None and (type(jobs) is not int or jobs == 0):
        raise InputError(f"jobs is {jobs!r}; give how many processes, or -1 for one a core")
    hear = progress or silent
    with RowsFile(to) as file:
        if file.torn:
            tell(f"{to}: its last line was torn, as when a sweep is killed; it is cut off, and its point run again")
        missing = keys_missing(list(wanted), file.rows)
        done = len(wanted) - len(missing)
        hear(f"{done:,} of {len(wanted):,} points", done / len(wanted))
        for rows in _outcomes(tasks_of, {key: wanted[key] for key in missing}, jobs):
            for row in rows:
                file.append(row)
                done += 1
                hear(f"{done:,} of {len(wanted):,} points", done / len(wanted))
        return SweepTable.of(file.rows[key] for key in wanted)


def load_sweep(path: str | os.PathLike[str]) -> SweepTable:
    """The table in a sweep's file at `path`, which may be incomplete; sizes in bytes, times in seconds.

    Raises InputError where it cannot be read, FormatError for a file of another kind.
    """
    return SweepTable.of(read_rows(path))


def _keyed(given: Iterable[SweepPoint | Mapping[str, Any]]) -> tuple[dict[str, SweepPoint], dict[str, Sources]]:
    """The points by their keys, each once, and the sources of each factory. Raises InputError."""
    points = list(dict.fromkeys(map(point_of, given)))
    if not points:
        raise InputError("there are no points to sweep over; give some, such as those of grid('train.py:make')")
    sources = {point.factory: sources_of(point.factory) for point in points}
    named = {point.optimizer for point in points if point.optimizer is not None}
    if named:
        from roam_lab.capture.variants import optimizer_of

        for text in sorted(named):
            optimizer_of(text)
    return {_key(point, sources[point.factory].digest): point for point in points}, sources


def _key(point: SweepPoint, digest: str) -> str:
    """A digest of all that the point's row depends on; the path of its factory's folder is not part of it."""
    own = point.to_data() | {"factory": os.path.basename(point.factory)}
    return hashlib.sha256(json.dumps([own, digest]).encode()).hexdigest()[:32]


def _outcomes(
    sources: Mapping[str, Sources], points: Mapping[str, SweepPoint], jobs: int | None
) -> Iterator[list[dict[str, Any]]]:
    """The rows of every point, task by task, as they come.

    A killed worker ends the other tasks of its backend, too. What is left is then run point by point, so that one row
    says which point it was.
    """
    tasks = _tasks(sources, points, jobs)
    left = {key: single for task in tasks for single in task.single() for key in single.points}
    try:
        for rows in _parallel(tasks, jobs):
            for row in rows:
                del left[row["key"]]
            yield rows
        return
    except Exception as error:  # the backend's own; errors of a task are in its rows
        if not left or isinstance(error, InputError):
            raise
    for task in list(left.values()):
        try:
            (rows,) = _parallel([task], jobs)
        except Exception as error:
            sentence = f"its process ended ({type(error).__name__}), perhaps for want of memory; try it with fewer jobs"
            rows = failed_rows(task, sentence)
        yield rows


def _tasks(sources: Mapping[str, Sources], points: Mapping[str, SweepPoint], jobs: int | None) -> list[Task]:
    """Tasks of points that share a capture, split where workers would have nothing to do."""
    if not points:
        return []
    most = max(1, min(MOST_POINTS, len(points) // _joblib().effective_n_jobs(jobs)))
    groups: dict[tuple[Any, ...], list[str]] = {}
    for key, point in points.items():
        groups.setdefault(point.captured, []).append(key)
    parts = [keys[at : at + most] for keys in groups.values() for at in range(0, len(keys), most)]
    tasks = []
    for keys in parts:
        known = sources[points[keys[0]].factory]
        tasks.append(Task(known.spec, known.modules, {key: points[key] for key in keys}))
    return tasks


def _parallel(tasks: list[Task], jobs: int | None) -> Iterator[list[dict[str, Any]]]:
    """The rows of each task, as they come, by the backend that joblib is set to."""
    if not tasks:
        return
    joblib = _joblib()
    run = joblib.Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")
    yield from run(joblib.delayed(work)(task) for task in tasks)


def _joblib() -> Any:
    try:
        import joblib
    except ImportError:
        raise InputError("a sweep runs through joblib, which is not installed; pip install 'roam-lab[sweep]'") from None
    return joblib
