"""What a workbench knows beside a plan that belongs into a report of it: of this very plan, or left out with a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roam_lab.plan.runs import planned_bytes

if TYPE_CHECKING:
    from roam_lab.app.workbench.bench import Workbench
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.fit import Fit
    from roam_lab.report.whatifs import WhatIf


@dataclass(frozen=True, slots=True)
class Parts:
    """`given`: keyword arguments of `write_brief`. `remarks`: sentences on what was left out, and why."""

    given: Mapping[str, Any]
    remarks: tuple[str, ...]


def parts_of(bench: Workbench, row: WhatIf) -> Parts:
    """Profile, batch size, frontier, fit and verification of the plan of `row`. Raises InputError where the plan is not
    at hand."""
    plan, of = row.plan, bench.of.get(row.name, "")
    profile = bench.profiles.get(of)
    remarks = []
    verified, verification = bench.verifications.get(row.name, (None, None))
    if verification is not None and verified is not row.held:
        remarks.append(f"left out: what was verified as {row.name} was another plan; verify this one")
        verification = None
    batch = None if profile is None else bench.batch_size(row.name)
    fit = bench.fits.get(of)
    if fit is not None and (profile is None or not _is_of(fit, profile, plan, batch)):
        remarks.append(
            f"left out: the fit of {of} is of plans with order and layout auto, and {row.name} is another; it compares "
            "what this plan itself needs"
        )
        fit = None
    given = {
        "profile": profile,
        "fit": fit,
        "batch": batch,
        "frontier": bench.frontiers.get(of),
        "verification": verification,
    }
    return Parts(given, tuple(remarks))


def _is_of(fit: Fit, profile: Profile, plan: Plan, batch: int | None) -> bool:
    """Whether one of the plans that `fit` compares needs exactly what `plan` needs; true where the fit does not know
    the plan's batch size, and so says nothing else of it."""
    point = next((point for point in fit.points if point.batch == batch), None)
    if point is None:
        return True
    need = profile.resident_bytes + planned_bytes(profile, plan)
    return any(point.need(run) == need for run in point.runs if run != "eager")
