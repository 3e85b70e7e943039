"""What-ifs of a profile in memory: points as in a sweep, but of a notebook's own model in place of a factory's file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from roam_lab.app.session import profile
from roam_lab.plan import Profile, make_plan
from roam_lab.progress import Progress
from roam_lab.report.whatif_figures import figures_in
from roam_lab.report.whatif_table import goals_text
from roam_lab.report.whatifs import WhatIf, changes
from roam_lab.sweeps.points import SweepPoint, grid
from roam_lab.sweeps.rows import PLANNED, sentence
from roam_lab.sweeps.rows_file import point_in
from roam_lab.sweeps.sweeping import load_sweep

if TYPE_CHECKING:
    from roam_lab.app.workbench import Made, Workbench

CHANGES = ("batch", "sequence", "dtype", "optimizer", "times")
"""Fields of a point whose change makes another step, which is captured anew."""


def points_of(label: str, **axes: Any) -> list[SweepPoint]:
    """Every combination of the values given, as in `grid`, for the profile of that name. Raises InputError."""
    return grid(f"profile:{label}", **axes)


def add_what_ifs(
    bench: Workbench,
    label: str,
    points: Iterable[SweepPoint],
    progress: Progress,
    added: Callable[[WhatIf], None] = lambda row: None,
) -> list[WhatIf]:
    """Plan each point and put it among the what-ifs of the profile `label`; `added` is called with each as it comes.

    Where the step itself changes it is captured anew, on fakes; points that share a capture are planned one after the
    other. A point that fails has a row that says why, and the others go on. Raises InputError where the model is not
    known.
    """
    wanted = list(points)
    rows: list[WhatIf] = []
    groups = _grouped(wanted, bench, label)
    for step, same in groups.items():
        words = ", ".join(changes(dict(zip(CHANGES, step, strict=True)))) or "as it is"
        try:
            progress(f"{len(rows)} of {len(wanted)} what-ifs: capturing {words}", len(rows) / len(wanted))
            captured = _captured(bench, label, dict(zip(CHANGES, step, strict=True)))
        except Exception as error:
            rows += [_failed(bench, label, point, error) for point in same]
            continue
        for point in same:
            progress(f"{len(rows)} of {len(wanted)} what-ifs: planning {words}", len(rows) / len(wanted))
            rows.append(_planned(bench, label, point, captured))
            added(rows[-1])
    return rows


def add_table(bench: Workbench, path: str | os.PathLike[str], label: str | None = None) -> list[WhatIf]:
    """The rows of a sweep's file as what-ifs without plans: of the profile `label`, or of a model for each factory
    (where there are several, those of other names than `label` are models of their own).

    Raises InputError, FormatError.
    """
    rows, found = [], load_sweep(path).rows
    single = len({point_in(row)["factory"] for row in found}) == 1
    for row in found:
        point = point_in(row)
        own = str(point["factory"]).rpartition(":")[2]
        model = label if label and (single or own == label) else own
        asked = _asked(point)
        figures = figures_in(row) if row["status"] == PLANNED else None
        goals = goals_text(asked.get("budget"), asked.get("extra_time"))
        stem = " ".join(filter(None, [f"{os.path.basename(path)}:", *changes(asked), str(point["order"]), goals]))
        name = bench.what_ifs.free(stem)
        error = "" if figures else str(row["error"])
        limit = point["node_limit"] if isinstance(point["node_limit"], int) else None
        rows.append(
            bench.what_ifs.put(WhatIf(name, None, limit, model=model, asked=asked, figures=figures, error=error))
        )
    return rows


def _grouped(points: list[SweepPoint], bench: Workbench, label: str) -> dict[tuple[Any, ...], list[SweepPoint]]:
    """The points, grouped by the changes of their step; the size that the batch already has is no change."""
    from roam_lab.capture.changed import present_of

    made = bench.made.get(label)
    present = {} if made is None else present_of(made.model, made.batch)
    groups: dict[tuple[Any, ...], list[SweepPoint]] = {}
    for point in points:
        values = {name: getattr(point, name) for name in CHANGES}
        step = tuple(None if value == present.get(name, value is None) else value for name, value in values.items())
        groups.setdefault(step, []).append(point)
    return groups


def _captured(bench: Workbench, label: str, step: Mapping[str, Any]) -> Profile:
    if not any(value is not None for value in step.values()):
        return bench.profiles[label]
    from roam_lab.capture.changed import changed

    _, made = bench.known(label)
    own = {name: step[name] for name in CHANGES if name != "times"}
    device = bench.profiles[label].environment.get("device")
    parts = changed(_parts(made), **own)
    lacks_weights = any(parameter.is_meta for parameter in parts["model"].parameters())
    return profile(
        **parts,
        fake=True,
        times=step["times"],
        name=label,
        device=device if lacks_weights and device in ("cpu", "cuda") else None,
    )


def _parts(made: Made) -> dict[str, Any]:
    return {"model": made.model, "batch": made.batch, "optimizer": made.optimizer, **made.step_arguments()}


def _planned(bench: Workbench, label: str, point: SweepPoint, captured: Profile) -> WhatIf:
    try:
        plan = make_plan(captured.graph, environment=captured.environment, **point.settings())
    except Exception as error:
        return _failed(bench, label, point, error)
    return bench.keep_variant(plan, label, captured, point.node_limit, _asked(point.to_data()))


def _failed(bench: Workbench, label: str, point: SweepPoint, error: BaseException) -> WhatIf:
    asked = _asked(point.to_data())
    goals = goals_text(point.budget, point.extra_time)
    name = bench.what_ifs.free(" ".join(filter(None, [*changes(asked), point.order, goals])))
    return bench.what_ifs.put(WhatIf(name, None, point.node_limit, model=label, asked=asked, error=sentence(error)))


def _asked(point: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    default = SweepPoint("file.py:factory").to_data()
    return {
        name: value for name, value in point.items() if name != "factory" and name in default and value != default[name]
    }
