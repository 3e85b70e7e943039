"""The headline of a plan: what the whole step takes, eager and planned, in one sentence that says how it is known.

Command line, notebook and page give the same figure first, that of `Plan.headline`; peak, arena and bound, its parts,
come after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roam_lab.plan.devices import DEVICES, Device
from roam_lab.report.rewrites import kind_name
from roam_lab.report.units import bytes_text, share_text, step_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier

WORTHWHILE = 0.01
"""A gain of less than this part of what eager takes above the residents is called nothing."""
MORE_TIME = (0.05, 0.25)
"""Extra times that a headline mentions, where a plan within them is known."""


@dataclass(frozen=True, slots=True)
class Smaller:
    """A smaller whole step, in bytes, that is known to be possible with at most `allowed` extra time (a fraction);
    `extra_time` is what it really adds."""

    allowed: float
    step_bytes: int
    extra_time: float

    @property
    def name(self) -> str:
        """As people write it: "+5 % time"."""
        return f"+{100 * self.allowed:.0f} % time"


def eager_bytes(plan: Plan, profile: Profile | None = None) -> int:
    """Bytes that eager takes above the residents, by estimate: the larger of what the plan and the profile know."""
    return max(plan.eager_bytes, 0 if profile is None else profile.eager_bytes)


def headline(plan: Plan, profile: Profile | None = None) -> str:
    """ "346.7 -> 284.7 MiB, -17.9 %": the whole step, eager and planned."""
    resident = plan.resident_bytes
    return step_text(resident + eager_bytes(plan, profile), resident + plan.arena_bytes)


def gains_nothing(plan: Plan, profile: Profile | None = None) -> bool:
    """Whether the plan saves less than WORTHWHILE of what eager takes above the residents."""
    before = eager_bytes(plan, profile)
    return before - plan.arena_bytes < WORTHWHILE * before or not before


def smaller_plans(plan: Plan, others: Iterable[Plan] = (), frontier: Frontier | None = None) -> list[Smaller]:
    """For each of MORE_TIME, the least whole step that is known to be possible with it, if less than that of `plan`.

    `others`: plans; those of another graph are left out. `frontier`: of the plan's step.
    """
    known = [
        (one.extra_time, one.arena_bytes)
        for one in others
        if one.graph_sha256 == plan.graph_sha256 and one.extra_time > 0
    ]
    known += [(point.extra_time, point.arena_bytes) for point in frontier.points] if frontier else []
    found: list[Smaller] = []
    least = plan.arena_bytes
    for allowed in MORE_TIME:
        within = [(arena, time) for time, arena in known if 0 < time <= allowed + 1e-9 and arena < least]
        if within:
            least, time = min(within)
            found.append(Smaller(allowed, plan.resident_bytes + least, time))
    return found


def memory_label(device: Device) -> str:
    """The memory of a GPU as it is sold: "16 GB"."""
    return " ".join(device.name.split()[-2:])


def fits_text(need_bytes: int, devices: Sequence[Device] = DEVICES) -> str:
    """The smallest GPU that holds a step, and what is left there: "fits 16 GB with 1.2 GiB to spare"."""
    holds = [device for device in devices if need_bytes <= device.room_bytes]
    if not holds:
        largest = max(devices, key=lambda device: device.memory_bytes)
        return f"fits no single GPU (the largest known has {memory_label(largest)})"
    device = min(holds, key=lambda device: device.memory_bytes)
    spare = device.room_bytes - need_bytes
    barely = "barely " if spare < 0.05 * device.memory_bytes else ""
    return f"{barely}fits {memory_label(device)} with {bytes_text(spare)} to spare"


def verdict_sentence(
    plan: Plan,
    profile: Profile | None = None,
    smaller: Sequence[Smaller] = (),
    need_bytes: int | None = None,
) -> str:
    """What the plan is worth in one sentence, also when it is worth nothing, and what more time would bring.

    `need_bytes`: what the planned step needs of a GPU (None: its whole step).
    """
    sentence = f"{headline(plan, profile)}, predicted"
    if plan.graph is None:
        sentence += " (above what is always there, which a bare plan does not know)"
    elif plan.graph.ops:
        sentence += f"; {fits_text(plan.resident_bytes + plan.arena_bytes if need_bytes is None else need_bytes)}"
    more = ". ".join(f"With {one.name}: {bytes_text(one.step_bytes)}" for one in smaller)
    return f"{sentence}; {_how(plan, profile)}.{f' {more}.' if more else ''}{_advice(plan, profile, smaller)}"


def eager_sentence(profile: Profile) -> str:
    """What a step takes that is not planned yet: "346.7 MiB whole step, eager, predicted; fits 16 GB ..."."""
    whole = profile.resident_bytes + profile.eager_bytes
    need = max(whole, profile.resident_bytes + profile.reservation().above_resident)
    return f"{bytes_text(whole)} whole step, eager, predicted; {fits_text(need)}."


def _how(plan: Plan, profile: Profile | None) -> str:
    """What was done to the step, and what is proven about it."""
    if plan.rewrites:
        kinds = ", ".join(dict.fromkeys(kind_name(rewrite.kind) for rewrite in plan.rewrites))
        times = plan.environment.get("times", "times of the graph")
        costs = f"{100 * plan.extra_time:.1f} % more time, {times}" if plan.extra_time > 0 else "no more time"
        what = f"rewritten ({kinds}; {costs})"
    else:
        what = "order gains nothing" if gains_nothing(plan, profile) else "order only"
    if plan.optimal:
        return f"{what}, no order of it needs less (proven)" if plan.rewrites else f"proven, {what}"
    room = share_text(plan.peak_bytes - plan.lower_bound_bytes, plan.peak_bytes)
    return f"{what}; no other order could gain more than {room} on it"


def _advice(plan: Plan, profile: Profile | None, smaller: Sequence[Smaller]) -> str:
    """What to try where order alone does not help and nothing else is known yet."""
    if smaller or plan.rewrites or not gains_nothing(plan, profile):
        return ""
    return (
        " What is alive at the peak decides; a smaller batch would lower it, or recomputing: allow an extra time, "
        "such as 0.1."
    )
