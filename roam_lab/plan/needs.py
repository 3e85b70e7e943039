"""What a step needs at each size, captured and planned when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roam_lab.plan.profile import Profile
from roam_lab.plan.runs import Point, Run, eager_least_bytes, plan_for, point_at, reserved_bytes
from roam_lab.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of the whole step without which a run does not get through; what its plan adds to the step's time, as a
    fraction."""

    bytes: int
    extra_time: float = 0.0


class Needs:
    """Needs at sizes (batch sizes, or sequence lengths). `profile_at(size)` captures; `tell` hears of each plan."""

    def __init__(self, profile_at: Callable[[int], Profile], tell: Progress = silent) -> None:
        self._profile_at, self._tell = profile_at, tell
        self._profiles: dict[int, Profile] = {}
        self._needs: dict[int, dict[Run, Need]] = {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those that were captured, ascending."""
        return tuple(sorted(self._profiles))

    def profile(self, size: int) -> Profile:
        """The step at that size."""
        if size not in self._profiles:
            self._profiles[size] = self._profile_at(size)
        return self._profiles[size]

    def need(self, size: int, run: Run) -> Need:
        """Of the plan that the run takes; or of one that adds less time, where that is known to need no more."""
        known = self._needs.setdefault(size, {})
        if run not in known:
            known[run] = self._need(self.profile(size), run, size)
        if run == "eager":
            return known[run]
        most = 0.0 if run == "planned" else run
        return min((one for other, one in known.items() if _adds(other) <= most), key=lambda need: need.bytes)

    def _need(self, profile: Profile, run: Run, size: int) -> Need:
        if run == "eager":
            return Need(profile.resident_bytes + eager_least_bytes(profile))
        self._tell(f"planning at {size:,}{'' if run == 'planned' else f', {run:.0%} more time'}", 0.5)
        plan = plan_for(profile, run)
        return Need(profile.resident_bytes + reserved_bytes(profile, plan), plan.extra_time)

    def point(self, size: int, extra_times: tuple[float, ...] = ()) -> Point:
        """Those of all runs."""
        profile = self.profile(size)
        plans = {}
        for extra_time in (0.0, *extra_times):
            self._tell(f"planning at {size:,}, {extra_time:.0%} more time", 0.5)
            plans[extra_time] = plan_for(profile, extra_time)
        return point_at(size, profile, plans[0.0], {extra_time: plans[extra_time] for extra_time in extra_times})


def _adds(run: Run) -> float:
    """Eager is no plan's choice."""
    return float("inf") if run == "eager" else 0.0 if run == "planned" else float(run)
