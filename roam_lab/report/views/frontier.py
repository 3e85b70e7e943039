"""Memory of the whole step against extra time: what rewriting can do, what eager and checkpointing take, which plan is
shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from roam_lab.plan.devices import DEVICES, Device
from roam_lab.plan.frontier import LaidOutPoint
from roam_lab.plan.whole_step import planned_whole_bytes
from roam_lab.report.units import bytes_text, change_text, unit_for
from roam_lab.report.views.labels import Font, Label, placed
from roam_lab.report.views.table import Table, Value

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.plan.frontier import Frontier

Role = Literal["planned", "captured", "checkpointed", "chosen"]
HEADROOM = 1.12
"""The memory axis ends at this many times the highest point, or above the next GPU if that is within REACH times."""
REACH = 1.7
FOOT = 0.12
"""GPUs below this fraction of the axis are left out: no point lies there."""
LEAST_END = 10.0
"""The least length of the time axis, in percent."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One point. `role`: "planned" (of the frontier), "captured" (eager's order), "checkpointed" (every block), or
    "chosen" (the plan that is shown). `whole_bytes`: resident and arena; `label`: its name in the figure, "" for none.
    """

    role: Role
    extra_time: float
    whole_bytes: int
    arena_bytes: int
    name: str
    note: str
    label: str = ""

    @property
    def percent(self) -> float:
        """Extra time in percent."""
        return 100 * self.extra_time


@dataclass(frozen=True, slots=True)
class Line:
    """A GPU, or several of the same memory: what a step can use of it, after the driver's context."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """A position in the plot that is labelled."""

    percent: float
    bytes: int
    label: str


@dataclass(frozen=True)
class FrontierView:
    """`marks`: the frontier's points by ascending time, then captured, checkpointed and chosen, where they are known.
    `times`: where the ops' times come from. `strategy`: the rewrite strategy that found the frontier. `lines`: GPUs
    near the points, the smallest first. `bound`: (percent of extra time, bytes of the whole step), ascending: no
    rewriting that adds at most that time needs fewer bytes."""

    name: str
    marks: tuple[Mark, ...]
    resident_bytes: int
    times: str
    strategy: str
    lines: tuple[Line, ...] = ()
    bound: tuple[tuple[float, int], ...] = ()

    @property
    def title(self) -> str:
        return f"Memory against extra time of {self.name}"

    @property
    def x_label(self) -> str:
        """What the time axis counts."""
        return f"extra time, % of the ops' time ({self.times})"

    @property
    def unit(self) -> tuple[str, int]:
        """Unit of the memory axis and its bytes."""
        return unit_for(self._highest)

    @property
    def _highest(self) -> int:
        return max([mark.whole_bytes for mark in self.marks] + [line.bytes for line in self.lines] + [1])

    @property
    def end_percent(self) -> float:
        """Where the time axis ends; it begins at 0."""
        return max([1.08 * mark.percent for mark in self.marks] + [LEAST_END])

    @property
    def end_bytes(self) -> float:
        """Where the memory axis ends; it begins at 0."""
        return HEADROOM * self._highest

    @property
    def front(self) -> tuple[Mark, ...]:
        """The frontier's own points."""
        return tuple(mark for mark in self.marks if mark.role == "planned")

    @property
    def bound_steps(self) -> tuple[tuple[float, int], ...]:
        """The corners of the bound as a line: each value holds from the previous corner to its own extra time."""
        corners: list[tuple[float, int]] = []
        for (start, _), (end, size) in zip(((0.0, 0), *self.bound), self.bound, strict=False):
            corners += [(start, size), (end, size)]
        return tuple(corners)

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """What is labelled in the figure: marks, GPUs and residents at the right edge, the bound at its end."""
        marks = [Anchor(max(mark.percent, 0.0), mark.whole_bytes, mark.label) for mark in self.marks if mark.label]
        lines = [Anchor(self.end_percent, line.bytes, line.name) for line in self.lines]
        bound = [Anchor(*self.bound[-1], "lower bound")] if self.bound else []
        resident = Anchor(self.end_percent, self.resident_bytes, f"resident {bytes_text(self.resident_bytes)}")
        return (*marks, *lines, *bound, *([resident] if self.resident_bytes else []))

    def labels(self, width: float, height: float, font: Font) -> list[Label]:
        """The name of each anchor, placed in a plot of `width` by `height` pixels."""
        points = [(one.percent / self.end_percent, one.bytes / self.end_bytes, one.label) for one in self.anchors]
        return placed(points, width, height, font)

    @property
    def alt(self) -> str:
        marks = [f"{mark.name}: {bytes_text(mark.whole_bytes)}, {_more(mark.extra_time)}" for mark in self.marks]
        lines = "".join(f" {line.name} has {bytes_text(line.bytes)} for it." for line in self.lines)
        bound = ""
        if self.bound:
            percent, least = self.bound[-1]
            bound = (
                f" Proven: no rewriting of this order needs less than {bytes_text(least)} up to {percent:.1f} % time."
            )
        return (
            f"{self.title}, resident ({bytes_text(self.resident_bytes)}) + arena, predicted; found by rewrite strategy "
            f"{self.strategy}. {'; '.join(marks) or 'Nothing found yet'}.{lines}{bound}"
        )

    @property
    def table(self) -> Table:
        columns = ("what", "extra time, %", "resident + arena, bytes", "resident + arena", "arena, bytes", "note")
        rows: list[tuple[Value, ...]] = [
            (mark.name, mark.percent, mark.whole_bytes, bytes_text(mark.whole_bytes), mark.arena_bytes, mark.note)
            for mark in self.marks
        ]
        rows += [
            ("lower bound", percent, size, bytes_text(size), size - self.resident_bytes, "up to this extra time")
            for percent, size in self.bound
        ]
        room = "what a step can have of it"
        rows += [(line.name, None, line.bytes, bytes_text(line.bytes), None, room) for line in self.lines]
        return Table(f"{self.title}, predicted; times: {self.times}", columns, tuple(rows))


def frontier_view(found: Frontier, chosen: Plan | None = None, devices: Iterable[Device] = DEVICES) -> FrontierView:
    """The points of `found` beside eager, every block checkpointed and, where it is given, the plan that is shown.

    On the frontier of its own graph, a plan replaces points that need more memory and add at least as much time.
    """
    marks = []
    own = chosen is not None and chosen.graph_sha256 == found.graph_sha256
    points = [point for point in found.points if not (own and chosen is not None and _beats(chosen, point))]
    for number, point in enumerate(points):
        last = number == len(points) - 1 and (chosen is None or chosen.arena_bytes != point.arena_bytes)
        least = f"least known: {bytes_text(found.resident_bytes + point.arena_bytes)}" if last else ""
        name = "free" if point.extra_time <= 0 else _more(point.extra_time)
        marks.append(_mark(found, point, "planned", name, least))
    if own and chosen is not None and len(points) < len(found.points):
        ours = LaidOutPoint(chosen.extra_time, chosen.arena_bytes, chosen.peak_bytes, *_made_again(chosen))
        at = sum(point.extra_time < chosen.extra_time for point in points)
        marks.insert(at, _mark(found, ours, "planned", _more(chosen.extra_time), ""))
    marks += [*_eager(found), *_checkpointed(found)]
    if chosen is not None:
        whole = planned_whole_bytes(chosen) if own else found.resident_bytes + chosen.arena_bytes
        note = f"arena {change_text(found.captured_peak_bytes, chosen.arena_bytes) or 'as'} against captured"
        label = f"this plan: {bytes_text(whole)}"
        marks.append(Mark("chosen", chosen.extra_time, whole, chosen.arena_bytes, "this plan", note, label))
    bound = tuple((100 * max(one.extra_time, 0.0), found.resident_bytes + one.peak_bytes) for one in found.bounds)
    highest = max(mark.whole_bytes for mark in marks)
    return FrontierView(
        found.name or "a training step",
        tuple(marks),
        found.resident_bytes,
        found.times,
        found.strategy,
        lines_near(highest, devices),
        bound,
    )


def lines_near(highest: int, devices: Iterable[Device]) -> tuple[Line, ...]:
    """The GPUs whose memory a figure shows that reaches `highest` bytes: those below it, and the next one above where
    it is near; those of the same memory are one line."""
    names: dict[int, list[str]] = {}
    for device in devices:
        names.setdefault(device.room_bytes, []).append(device.name)
    rooms = sorted(room for room in names if room >= FOOT * highest)
    below = [room for room in rooms if room <= highest]
    above = [room for room in rooms if highest < room <= REACH * highest][:1]
    return tuple(Line(", ".join(names[room]), room) for room in (*below, *above))


def _beats(plan: Plan, point: LaidOutPoint) -> bool:
    """Whether `plan` needs no more memory and adds no more time, and is better in at least one of the two."""
    ours, theirs = (plan.arena_bytes, plan.extra_time), (point.arena_bytes, point.extra_time)
    return ours != theirs and ours[0] <= theirs[0] and ours[1] <= theirs[1] + 1e-9


def _made_again(plan: Plan) -> tuple[int, int]:
    made = plan.rewritten
    return (0, 0) if made is None else (made.recomputed, made.offloaded_bytes)


def eager_step_bytes(found: Frontier) -> int:
    """Bytes of the whole eager step, residents and live peak, that headlines compare with; in older files, which do not
    know them, those of the planned graph in eager's order."""
    live = found.captured_peak_bytes if found.eager_peak_bytes is None else found.eager_peak_bytes
    return found.resident_bytes + live


def _eager(found: Frontier) -> list[Mark]:
    """What eager's tensors take, and where it is known what its allocator reserves for them."""
    live = eager_step_bytes(found)
    note = "residents and live peak" + ("" if found.eager_peak_bytes else " of the planned graph in eager's order")
    marks = [_without_arena(found, live, "eager", note, f"eager {bytes_text(live)}")]
    if found.eager_bytes is not None:
        note = "what PyTorch's caching allocator reserves, simulated"
        label = f"eager reserves {bytes_text(found.eager_bytes)}"
        marks.append(_without_arena(found, found.eager_bytes, "eager, reserved", note, label))
    return marks


def _without_arena(found: Frontier, whole: int, name: str, note: str, label: str) -> Mark:
    return Mark("captured", 0.0, whole, whole - found.resident_bytes, name, note, label)


def _checkpointed(found: Frontier) -> list[Mark]:
    """PyTorch's own checkpointing where it is known; older files have only a plan of it."""
    name = "every block checkpointed"
    for way in found.alternatives:
        if way.name == name and found.eager_bytes is not None and way.extra_time is not None:
            whole = found.eager_bytes - way.saved_bytes
            note = "by torch.utils.checkpoint: what the caching allocator reserves, simulated"
            return [Mark("checkpointed", way.extra_time, whole, whole - found.resident_bytes, name, note, name)]
    return [] if found.checkpointed is None else [_mark(found, found.checkpointed, "checkpointed", name, name)]


def no_frontier(name: str) -> FrontierView:
    """An empty view, in place of a frontier that is not known yet."""
    return FrontierView(name or "a training step", (), 0, "not known yet", "none")


def _mark(found: Frontier, point: LaidOutPoint, role: Role, name: str, label: str) -> Mark:
    moved = f", {bytes_text(point.offloaded_bytes)} moved to the host" if point.offloaded_bytes else ""
    change = change_text(found.captured_peak_bytes, point.arena_bytes) or "nothing"
    note = f"arena {bytes_text(point.arena_bytes)} ({change}), {point.recomputed:,} ops run again{moved}"
    return Mark(role, point.extra_time, found.resident_bytes + point.arena_bytes, point.arena_bytes, name, note, label)


def _more(extra_time: float) -> str:
    return f"{100 * extra_time:+.1f} % time"
