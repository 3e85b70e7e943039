"""What the whole step takes as stacked bars, eager and planned, against the memory of GPUs: the verdict on a plan.

view = verdict_view(plan, profile)
view.sentence, view.bars[0].parts, view.table.html()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roam_lab.ir import Graph, captured_order, lifetimes, live_peak
from roam_lab.plan.devices import DEVICES, Device
from roam_lab.plan.runs import planned_bytes
from roam_lab.report.graphs import eager_graph, graph_of
from roam_lab.report.headline import eager_bytes, eager_sentence, memory_label, smaller_plans, verdict_sentence
from roam_lab.report.units import bytes_text, unit_for
from roam_lab.report.views.look import Look, kind_looks
from roam_lab.report.views.places import kinds, places
from roam_lab.report.views.table import Table, Value

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier

WEIGHTS, STATE, BATCH, OTHER = "weights", "optimizer state", "batch", "other residents"
RESIDENT_NAMES = {"parameter": WEIGHTS, "state": STATE, "batch": BATCH}
KIND_NAMES = {
    "activation": "activations",
    "gradient": "gradients",
    "temporary": "temporaries",
    "output": "outputs",
    "recomputed": "computed again",
    "offloaded": "back from the host",
    "unknown": "of unknown kind",
}
ARENA, LIVE, LAYOUT, ALLOCATOR = "arena", "live at the peak", "layout gaps", "allocator, simulated"
GREYS = {
    WEIGHTS: Look("#9a9a9a", "#9a9a9a"),
    STATE: Look("#b8b8b8", "#b8b8b8", "-"),
    BATCH: Look("#cccccc", "#cccccc", "."),
    OTHER: Look("#b3b3b3", "#b3b3b3", "\\"),
    "resident": Look("#999999", "#999999", "-"),
    ARENA: Look("#d9c6ef", "#d9c6ef", "/"),  # of all kinds together, so in no kind's colour
    LIVE: Look("#d9c6ef", "#d9c6ef", "/"),
    LAYOUT: Look("#c8c8c8", "#c8c8c8", "/"),
    ALLOCATOR: Look("#c0c0c0", "#c0c0c0", "x"),
}
NEAR = 1.25
"""Lines of GPUs up to this many times the longest bar are drawn, and the next above if it is not twice as far."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: what takes the memory, and its bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One way to run the step. `step_bytes`: the whole step, the number in the headline. `parts` add up to it, except
    for the last (ALLOCATOR), what the allocator reserves beside them. `basis`: how it is known."""

    name: str
    step_bytes: int
    parts: tuple[Part, ...]
    basis: str

    @property
    def end_bytes(self) -> int:
        """Where the bar ends."""
        return sum(part.bytes for part in self.parts)

    @property
    def end_text(self) -> str:
        """The text at its end: "2.1 MiB", or "2.1 MiB, reserves 4.0 MiB" where the bar goes on for the allocator."""
        whole, end = bytes_text(self.step_bytes), bytes_text(self.end_bytes)
        return whole if whole == end or self.end_bytes < self.step_bytes else f"{whole}, reserves {end}"


@dataclass(frozen=True, slots=True)
class Line:
    """A GPU's memory as it is sold, and what a step can use of it."""

    name: str
    room_bytes: int


@dataclass(frozen=True)
class VerdictView:
    """`bars`: eager, then planned, then plans that add time, if known. `lines`: GPUs of about the bars' size."""

    name: str
    sentence: str
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    looks: Mapping[str, Look]

    @property
    def title(self) -> str:
        """Short, as it is written in the picture."""
        return f"Whole training step of {self.name}"

    @property
    def end_bytes(self) -> int:
        """The highest value drawn, at least 1."""
        return max([bar.end_bytes for bar in self.bars] + [line.room_bytes for line in self.lines] + [1])

    @property
    def unit(self) -> tuple[str, int]:
        """Unit of the axis and its bytes."""
        return unit_for(self.end_bytes)

    @property
    def alt(self) -> str:
        """The sentence, then each bar with its parts."""
        sentences = [
            f"{bar.name} ({bar.basis}): {bytes_text(bar.step_bytes)}, of it "
            f"{', '.join(f'{part.name} {bytes_text(part.bytes)}' for part in bar.parts)}"
            for bar in self.bars
        ]
        return f"{self.title}. {self.sentence} {'. '.join(sentences)}."

    @property
    def table(self) -> Table:
        """A row for each part of each bar, and for each line."""
        rows: list[tuple[Value, ...]] = []
        for bar in self.bars:
            rows.append((bar.name, "whole step", bar.step_bytes, bytes_text(bar.step_bytes), bar.basis))
            for part in bar.parts:
                beside = "simulated, beside the whole step" if part.name == ALLOCATOR else bar.basis
                rows.append((bar.name, part.name, part.bytes, bytes_text(part.bytes), beside))
        for line in self.lines:
            note = "less what the driver takes (1 GiB, assumed)"
            rows.append((line.name, "GPU", line.room_bytes, bytes_text(line.room_bytes), note))
        return Table(self.title, ("run", "part", "bytes", "size", "how it is known"), tuple(rows))


def verdict_view(
    plan: Plan,
    profile: Profile | None = None,
    others: Iterable[Plan] = (),
    frontier: Frontier | None = None,
    devices: Sequence[Device] = DEVICES,
) -> VerdictView:
    """The verdict on `plan`. `profile`: what was planned; `others`, `frontier`: what is known of plans for the same
    step that add time. Raises InputError for a bare plan."""
    graph = graph_of(plan)
    resident = _resident(graph.resident_bytes, profile)
    need = None if profile is None else profile.resident_bytes + planned_bytes(profile, plan)
    smaller = smaller_plans(plan, others, frontier)
    bars = [_eager_bar(plan, profile, resident), _planned_bar(plan, graph, resident, need)]
    for one in smaller:
        parts = (*resident, Part(ARENA, one.step_bytes - graph.resident_bytes))
        bars.append(Bar(one.name, one.step_bytes, parts, f"predicted, {100 * one.extra_time:.1f} % more time"))
    sentence = verdict_sentence(plan, profile, smaller, need)
    return _view(graph.name, sentence, bars, devices)


def profile_verdict_view(profile: Profile, devices: Sequence[Device] = DEVICES) -> VerdictView:
    """What eager takes of a step that is not planned yet."""
    resident = _resident(profile.resident_bytes, profile)
    graph = profile.graph if profile.eager_bytes > profile.captured_peak_bytes else eager_graph(profile)
    whole = profile.resident_bytes + profile.eager_bytes
    allocator = profile.reservation().above_resident - profile.eager_bytes
    bar = Bar("eager", whole, (*resident, *_at_peak(graph, captured_order(graph)), *_beside(allocator)), "predicted")
    return _view(profile.graph.name, eager_sentence(profile), [bar], devices)


def _view(name: str, sentence: str, bars: Sequence[Bar], devices: Sequence[Device]) -> VerdictView:
    longest = max(bar.end_bytes for bar in bars)
    names = dict.fromkeys(part.name for bar in bars for part in bar.parts)
    kind_of = {name: name for name in names} | {name: kind for kind, name in KIND_NAMES.items()}
    looks = kind_looks(kind_of[one] for one in names if one not in GREYS)
    return VerdictView(
        name or "a training step",
        sentence,
        tuple(bars),
        _lines(longest, devices),
        {one: GREYS[one] if one in GREYS else looks[kind_of[one]] for one in names},
    )


def _resident(resident_bytes: int, profile: Profile | None) -> tuple[Part, ...]:
    """What is resident, by kind where that is known."""
    if profile is None:
        return (Part("resident", resident_bytes),) if resident_bytes else ()
    sizes: dict[str, int] = dict.fromkeys((WEIGHTS, STATE, BATCH, OTHER), 0)
    for kind, size in profile.resident.items():
        sizes[RESIDENT_NAMES.get(kind, OTHER)] += size
    sizes[OTHER] += max(resident_bytes - sum(sizes.values()), 0)
    return tuple(Part(name, size) for name, size in sizes.items() if size)


def _eager_bar(plan: Plan, profile: Profile | None, resident: Sequence[Part]) -> Bar:
    eager = eager_bytes(plan, profile)
    whole = plan.resident_bytes + eager
    if profile is not None:
        bar = profile_verdict_view(profile).bars[0]
        if bar.step_bytes == whole:
            return bar
    graph = graph_of(plan)
    if profile or plan.rewrites or eager != plan.captured_peak_bytes:  # the graph that eager ran is not known
        return Bar("eager", whole, (*resident, Part(LIVE, eager)), "predicted")
    return Bar("eager", whole, (*resident, *_at_peak(graph, captured_order(graph))), "predicted")


def _planned_bar(plan: Plan, graph: Graph, resident: Sequence[Part], need: int | None) -> Bar:
    whole = graph.resident_bytes + plan.arena_bytes
    parts = [*resident, *_at_peak(graph, plan.order)]
    if plan.arena_bytes > plan.peak_bytes:
        parts.append(Part(LAYOUT, plan.arena_bytes - plan.peak_bytes))
    more = f", {100 * plan.extra_time:+.1f} % time" if plan.extra_time > 0 else ""
    return Bar(f"planned{more}", whole, (*parts, *_beside(0 if need is None else need - whole)), "predicted")


def _beside(allocator_bytes: int) -> tuple[Part, ...]:
    return (Part(ALLOCATOR, allocator_bytes),) if allocator_bytes > 0 else ()


def _at_peak(graph: Graph, order: Sequence[int]) -> list[Part]:
    """What is alive at the peak of `order`, by kind, in the sequence of kinds in every figure."""
    if not graph.ops:
        return []
    step = live_peak(graph, order).step
    kind_of = kinds(graph, places(graph))
    sizes: dict[str, int] = {}
    for life in lifetimes(graph, order):
        if life.start <= step < life.end:
            sizes[kind_of[life.storage]] = sizes.get(kind_of[life.storage], 0) + life.bytes
    return [Part(KIND_NAMES.get(kind, kind), sizes[kind]) for kind in kind_looks(sizes) if sizes[kind]]


def _lines(longest: int, devices: Sequence[Device]) -> tuple[Line, ...]:
    """Each size of memory once, with the least room that a GPU of this size leaves."""
    rooms: dict[str, int] = {}
    for device in sorted(devices, key=lambda device: device.room_bytes):
        rooms.setdefault(memory_label(device), device.room_bytes)
    near = [Line(name, room) for name, room in rooms.items() if room <= NEAR * longest]
    beyond = [Line(name, room) for name, room in rooms.items() if NEAR * longest < room <= 2 * longest]
    return (*near, *beyond[:1])
