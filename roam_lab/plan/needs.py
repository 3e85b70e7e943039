"""The memory that a step needs at each size, captured and planned when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roam_lab.plan.profile import Profile
from roam_lab.plan.runs import Point, Run, eager_least_bytes, plan_for, point_at, reserved_bytes
from roam_lab.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Need:
    """`bytes`: the least memory in which a run of the whole step succeeds; `extra_time`: the time that its plan adds,
    as a fraction."""

    bytes: int
    extra_time: float = 0.0


class Needs:
    """The needs of one step at sizes (batch sizes, or sequence lengths), each remembered.

    `profile_at(size)` captures the step; `tell` is called with a sentence before each plan is made.
    """

    def __init__(self, profile_at: Callable[[int], Profile], tell: Progress = silent) -> None:
        self._profile_at, self._tell = profile_at, tell
        self._profiles: dict[int, Profile] = {}
        self._needs: dict[int, dict[Run, Need]] = {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes captured so far, ascending."""
        return tuple(sorted(self._profiles))

    def profile(self, size: int) -> Profile:
        """The profile of the step at that size."""
        if size not in self._profiles:
            self._profiles[size] = self._profile_at(size)
        return self._profiles[size]

    def need(self, size: int, run: Run) -> Need:
        """The need of a run at that size: of the plan made for it, or of a known plan that adds less time and needs no
        more."""
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
        """The needs of eager, of the plan without extra time and of plans with `extra_times`, as one `Point`."""
        profile = self.profile(size)
        plans = {}
        for extra_time in (0.0, *extra_times):
            self._tell(f"planning at {size:,}, {extra_time:.0%} more time", 0.5)
            plans[extra_time] = plan_for(profile, extra_time)
        return point_at(size, profile, plans[0.0], {extra_time: plans[extra_time] for extra_time in extra_times})


def _adds(run: Run) -> float:
    """The extra time that a run allows; below 0 for eager."""
    return float("inf") if run == "eager" else 0.0 if run == "planned" else float(run)
