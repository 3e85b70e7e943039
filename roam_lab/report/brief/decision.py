"""What a decision rests on: each way to run the step, its memory, its speed, and how both are known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roam_lab.ir import Graph
from roam_lab.ir.roofline import GPUS, roofline_seconds
from roam_lab.plan.alternatives import Alternative, alternatives
from roam_lab.plan.devices import DEVICES, Device
from roam_lab.plan.fit import Fit, Outcome, outcome_of
from roam_lab.plan.runs import eager_least_bytes, reserved_bytes
from roam_lab.plan.whole_step import eager_whole_bytes, planned_whole_bytes
from roam_lab.report.fit import run_text
from roam_lab.report.graphs import graph_of

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier

SIMULATED = "predicted: PyTorch's caching allocator, simulated"
ROOFLINE = "roofline"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the step. `whole_bytes`: the residents, and what eager reserves or the plan's arena;
    `device_bytes`: the least memory of a GPU with which it runs, as far as that is known; `seconds`: of a step, by the
    name of a device; `ours`: by a plan; `same_bits`: whether it computes what eager does, bit for bit; `how`: how its
    memory is known."""

    name: str
    whole_bytes: int
    device_bytes: int
    seconds: Mapping[str, float]
    ours: bool
    same_bits: bool
    how: str

    def gives_back(self, device: Device) -> bool:
        """Whether it runs on `device` only because the allocator frees its cached blocks again and again."""
        return self.device_bytes <= device.room_bytes < self.whole_bytes

    def spare_bytes(self, device: Device) -> int:
        """Bytes of `device` that stay free, with cached blocks freed where that is needed; below 0: it does not fit."""
        most = max(self.whole_bytes, self.device_bytes)
        return device.room_bytes - (most if most <= device.room_bytes else self.device_bytes)

    def outcome(self, device: Device) -> Outcome:
        """Whether it fits; "barely" where cached blocks have to be freed for it."""
        found = outcome_of(device, self.spare_bytes(device))
        return "barely fits" if found == "fits" and self.gives_back(device) else found


@dataclass(frozen=True, slots=True)
class Decision:
    """`ways`: eager, the plan, then others. `size`: the batch size (or sequence length) of the step, None where it is
    not known; `samples`: in a step. `measured_on`: devices whose step time was measured; others have a roofline.
    `axis`: what `size` is."""

    name: str
    ways: tuple[Way, ...]
    devices: tuple[Device, ...]
    size: int | None
    samples: int | None
    measured_on: frozenset[str]
    axis: str = "batch size"

    @property
    def eager(self) -> Way:
        return self.ways[0]

    @property
    def plan(self) -> Way:
        return self.ways[1]

    def smallest(self, way: Way) -> Device | None:
        """The GPU of least memory that it fits with the margin; None where there is none."""
        fitting = [device for device in self.devices if way.outcome(device) == "fits"]
        return min(fitting, key=lambda device: device.memory_bytes, default=None)


def decide(
    plan: Plan,
    profile: Profile | None = None,
    fit: Fit | None = None,
    frontier: Frontier | None = None,
    batch: int | None = None,
) -> Decision:
    """All that is known of the step of `plan`. Raises InputError for a bare plan."""
    graph = graph_of(plan)
    devices = tuple(device for device in (DEVICES if fit is None else fit.devices) if device.is_gpu)
    size = _size_of(plan, fit, batch)
    before = _graph_before(plan, profile)
    extra = max(plan.extra_time, 0.0)
    eager_seconds, measured_on = _speeds(before or graph, devices)
    if before is None:  # only the rewritten graph is known: eager runs without what rewriting added
        eager_seconds = {name: seconds / (1 + extra) for name, seconds in eager_seconds.items()}
    eager = _eager(plan, profile, fit, frontier, size, eager_seconds)
    slower = {name: seconds * (1 + extra) for name, seconds in eager_seconds.items()}
    whole = planned_whole_bytes(plan)
    taken = whole if profile is None else max(graph.resident_bytes + reserved_bytes(profile, plan), whole)
    how = "predicted: resident bytes, and the arena that the plan lays out"
    ways = [eager, Way("this plan", whole, taken, slower, True, True, how)]
    if fit is not None and size is not None:
        ways += _of_fit(fit, size, eager_seconds, whole, devices)
    offered = () if frontier is None else frontier.alternatives
    if not offered and before is not None:
        offered = alternatives(before)
    ways += [_alternative(way, eager, devices) for way in offered]
    samples = size if fit is None or fit.axis == "batch size" else fit.fixed
    axis = "batch size" if fit is None else fit.axis
    return Decision(graph.name, tuple(ways), devices, size, samples, measured_on, axis)


def _graph_before(plan: Plan, profile: Profile | None) -> Graph | None:
    """The step as it was captured, eager's where that is known."""
    if profile is not None:
        return profile.eager_graph or profile.graph
    return None if plan.rewrites else graph_of(plan)


def _eager(
    plan: Plan,
    profile: Profile | None,
    fit: Fit | None,
    frontier: Frontier | None,
    size: int | None,
    seconds: Mapping[str, float],
) -> Way:
    name = "plain PyTorch"
    if profile is not None:
        least = profile.resident_bytes + eager_least_bytes(profile)
        return Way(name, eager_whole_bytes(profile), least, seconds, False, True, SIMULATED)
    if fit is not None and size is not None and fit.captured(size):
        return Way(name, fit.need(size, "eager"), fit.least(size, "eager"), seconds, False, True, SIMULATED)
    if frontier is not None and frontier.eager_bytes is not None:
        return Way(name, frontier.eager_bytes, frontier.eager_bytes, seconds, False, True, SIMULATED)
    graph = graph_of(plan)
    if plan.rewrites:
        live = graph.resident_bytes + plan.captured_peak_bytes
        how = "predicted: live bytes in captured order; what an allocator loses comes on top"
        return Way(name, live, live, seconds, False, True, how)
    whole = eager_whole_bytes(graph)
    return Way(name, whole, whole, seconds, False, True, SIMULATED)


def _of_fit(
    fit: Fit, size: int, eager_seconds: Mapping[str, float], whole: int, devices: Iterable[Device]
) -> list[Way]:
    """Plans that may add time, and half the batch twice, where the fit speaks of this size."""
    if fit.basis(size) == "beyond":
        return []
    known = "predicted: captured and planned" if fit.captured(size) else "predicted: on a line between captured sizes"
    ways = []
    for run in fit.runs[2:]:
        need = fit.need(size, run)
        if need != whole:
            slower = {name: seconds * (1 + fit.added(size, run)) for name, seconds in eager_seconds.items()}
            ways.append(Way(f"plan, {run_text(run)} time", need, fit.least(size, run), slower, True, True, known))
    half = size // 2
    if fit.axis == "batch size" and size > 1 and size % 2 == 0 and fit.basis(half) != "beyond":
        pairs = ((device.name, fit.seconds(half, device)) for device in devices)
        twice = {name: 2 * seconds for name, seconds in pairs if seconds is not None}
        how = "predicted: eager at half the batch; gradients added up over two passes, so other rounding"
        name = f"batch {half:,} twice (accumulation)"
        ways.append(Way(name, fit.need(half, "eager"), fit.least(half, "eager"), twice, False, False, how))
    return ways


def _alternative(way: Alternative, eager: Way, devices: Iterable[Device]) -> Way:
    """PyTorch's own alternative: it saves as many bytes as on the graph for which it was computed."""
    seconds = {
        device.name: way.seconds[device.rates or ""] for device in devices if (device.rates or "") in way.seconds
    }
    whole, taken = max(eager.whole_bytes - way.saved_bytes, 0), max(eager.device_bytes - way.saved_bytes, 0)
    return Way(way.name, whole, taken, seconds, False, way.same_bits, way.how)


def _size_of(plan: Plan, fit: Fit | None, batch: int | None) -> int | None:
    """The size that was planned: `batch` if given, else the fit's for this plan, else that of the captured batch."""
    along_batch = fit is None or fit.axis == "batch size"
    if batch is not None and along_batch:
        return batch
    if fit is not None:
        whole = planned_whole_bytes(plan)
        same = [point.batch for point in fit.points if any(point.need(run) == whole for run in fit.runs[1:])]
        if len(same) == 1:
            return same[0]
    return batch_in(plan.environment.get("batch", "")) if along_batch else None


def batch_in(text: str) -> int | None:
    """The leading dimension that all tensors of a batch share, as the environment of a graph writes them:
    "int64[4, 128]@cpu, int64[4, 128]@cpu" is 4. None where they differ."""
    leading = {int(number) for number in re.findall(r"\[(\d{1,12})[,\]]", text)}
    return leading.pop() if len(leading) == 1 else None


def _speeds(graph: Graph, devices: Iterable[Device]) -> tuple[dict[str, float], frozenset[str]]:
    """Seconds of a step by device: measured, where `graph` was timed on it, or by the roofline of its rates."""
    found: dict[str, float] = {}
    measured: set[str] = set()
    timed = sum(op.time_us or 0.0 for op in graph.ops) / 1e6
    for device in devices:
        if timed and _is_measured_on(graph.times or "", device):
            found[device.name] = timed
            measured.add(device.name)
        elif device.rates in GPUS and (seconds := roofline_seconds(graph, GPUS[device.rates])) is not None:
            found[device.name] = seconds
    return found, frozenset(measured)


def _is_measured_on(times: str, device: Device) -> bool:
    """Whether `times`, such as "measured on NVIDIA A100-SXM4-80GB", names the device "A100 80 GB"."""
    words = [word for word in device.name.replace(" GB", "GB").split() if word != "RTX"]
    said = times.replace(" ", "").replace("-", "")
    return times.startswith("measured on") and words[0] in said and (words[-1] in said or not re.search(r"\d+GB", said))
