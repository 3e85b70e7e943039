"""What a worker does: capture once, plan for each point, and say what came of it as rows of plain JSON data."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from typing import Any

from roam_lab.app.session import made_by, on_meta, profile
from roam_lab.errors import DataDependentError, InfeasibleError, InputError, RoamError
from roam_lab.plan import Plan, Profile, make_plan
from roam_lab.sweeps.points import SweepPoint
from roam_lab.sweeps.sources import imported_anew

FORMAT = "roam-sweep/1"
PLANNED, INFEASIBLE, FAILED = "planned", "infeasible", "failed"
"""There is a plan; the budget cannot be met, which is an answer, too; something failed."""


@dataclass(frozen=True, slots=True)
class Task:
    """Points that share a capture, by their keys; `spec` and `modules` as in Sources. Can be pickled."""

    spec: str
    modules: tuple[str, ...]
    points: Mapping[str, SweepPoint]

    def single(self) -> list[Task]:
        """A task for each point."""
        return [replace(self, points={key: point}) for key, point in self.points.items()]


def rows_of(task: Task) -> list[dict[str, Any]]:
    """A row for each point of the task; any error is reported in the row of its point. In the main thread only."""
    with imported_anew(task.modules), redirect_stdout(sys.stderr):  # stdout is for results alone
        first = next(iter(task.points.values()))
        try:
            captured, sizes = _captured(task.spec, first)
        except (Exception, SystemExit) as error:
            return failed_rows(task, sentence(error))
        return [_row(key, point, captured, sizes) for key, point in task.points.items()]


def failed_rows(task: Task, sentence: str) -> list[dict[str, Any]]:
    """Rows that say why there is no answer."""
    return [_as_row(key, point, FAILED, sentence) for key, point in task.points.items()]


def _row(key: str, point: SweepPoint, captured: Profile, sizes: Mapping[str, int | None]) -> dict[str, Any]:
    try:
        plan = make_plan(captured.graph, environment=captured.environment, **point.settings())
    except InfeasibleError as error:
        return {**_as_row(key, point, INFEASIBLE, sentence(error)), **sizes}
    except Exception as error:
        return _as_row(key, point, FAILED, sentence(error))
    return {**_as_row(key, point, PLANNED), **sizes, **_result(captured, plan)}


def _as_row(key: str, point: SweepPoint, status: str, error: str | None = None) -> dict[str, Any]:
    return {"format": FORMAT, "key": key, "point": point.to_data(), "status": status, "error": error}


def _result(captured: Profile, plan: Plan) -> dict[str, Any]:
    """The numbers of a plan, by the names that plans and frontiers give them."""
    return {
        "ops": len(captured.graph.ops),
        "resident_bytes": captured.graph.resident_bytes,
        "eager_peak_bytes": captured.captured_peak_bytes,
        "captured_peak_bytes": plan.captured_peak_bytes,
        "peak_bytes": plan.peak_bytes,
        "arena_bytes": plan.arena_bytes,
        "step_bytes": captured.graph.resident_bytes + plan.arena_bytes,
        "lower_bound_bytes": plan.lower_bound_bytes,
        "optimal": plan.optimal,
        "extra_time": plan.extra_time,
        "savings": [asdict(saving) for saving in plan.savings],
        "order_strategy": plan.order_strategy,
        "layout_strategy": plan.layout_strategy,
        "rewrite_strategy": plan.rewrite_strategy,
        "seconds": plan.seconds,
        "graph_sha256": plan.graph_sha256,
        "environment": dict(plan.environment),
    }


def _captured(spec: str, point: SweepPoint) -> tuple[Profile, dict[str, int | None]]:
    """The captured step, and the sizes of its batch. No weights are allocated, unless factory or step read values."""
    from roam_lab.capture.variants import variant

    own = (point.batch, point.sequence, point.dtype, point.optimizer)
    try:
        with on_meta(True):
            made = made_by(spec)
    except InputError:
        made = made_by(spec)
    made = variant(made, *own)
    try:
        captured = _profiled(made, point)
    except (InputError, DataDependentError):
        if not any(parameter.is_meta for parameter in made["model"].parameters()):
            raise
        made = variant(made_by(spec), *own)
        captured = _profiled(made, point)
    return captured, _sizes(made["batch"])


def _profiled(made: Mapping[str, Any], point: SweepPoint) -> Profile:
    return profile(**made, fake=True, times=point.times, name=point.factory.rpartition(":")[2])


def _sizes(batch: Any) -> dict[str, int | None]:
    from roam_lab.capture.batch_size import batch_size_of
    from roam_lab.capture.sequence_length import sequence_length_of

    try:
        rows = batch_size_of(batch)
    except InputError:
        rows = None
    return {"batch_size": rows, "sequence_length": sequence_length_of(batch)}


def sentence(error: BaseException) -> str:
    """Any error as one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RoamError) else f"unexpected {type(error).__name__}: {text[:300]}".rstrip(": ")


def keys_missing(wanted: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Those without an answer yet: no row, or one that failed."""
    return [key for key in wanted if key not in rows or rows[key]["status"] == FAILED]
