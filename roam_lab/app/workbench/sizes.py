"""What fits where: a profile's step, captured and planned at other batch sizes and sequence lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from roam_lab.app.session import profile
from roam_lab.plan import Profile
from roam_lab.plan.devices import Device, devices_for
from roam_lab.plan.fit import Fit
from roam_lab.plan.largest import FURTHER, Within, largest_sizes
from roam_lab.plan.needs import Needs
from roam_lab.plan.runs import EXTRA_TIMES, RUNS, Run

if TYPE_CHECKING:
    from roam_lab.app.workbench.bench import Workbench
    from roam_lab.app.workbench.made import Made

FACTOR = 8
"""Between the batch sizes that `fit_of` captures."""


def fit_of(bench: Workbench, name: str | None, sizes: Sequence[int] | None, extra_times: Sequence[float] | None) -> Fit:
    """See `Workbench.fit`."""
    from roam_lab.capture.batch_size import batch_size_of, resized

    label, made = bench.known(name)
    needs = _needs(bench, label, made, "batch size", partial(resized, made.batch), batch_size_of(made.batch))
    allowed = _ascending(extra_times)
    devices = devices_for(bench.profiles[label].environment.get("device", ""))
    if sizes is not None:
        return Fit(label, tuple(needs.point(size, allowed) for size in sorted(set(sizes))), devices)
    points = [needs.point(batch_size_of(made.batch), allowed)]
    most = max(device.room_bytes for device in devices)
    while min(map(points[-1].least, points[-1].runs)) <= most:
        points.append(needs.point(FACTOR * points[-1].batch, allowed))
    return Fit(label, tuple(points), devices)


def within_memory(bench: Workbench, memory_bytes: int, name: str | None, extra_times: Sequence[float] | None) -> Within:
    """See `Workbench.within`."""
    from roam_lab.capture.batch_size import batch_size_of, resized
    from roam_lab.capture.sequence_length import longest_sequence, sequence_length_of, with_sequence_length

    label, made = bench.known(name)
    device = Device("own", memory_bytes)
    rows, length = batch_size_of(made.batch), sequence_length_of(made.batch)
    runs: tuple[Run, ...] = (*RUNS, *_ascending(extra_times))
    needs = _needs(bench, label, made, "batch size", partial(resized, made.batch), rows)
    sizes = [largest_sizes(needs, device.room_bytes, runs, rows, "batch size", length)]
    if length is not None:
        at_length = partial(with_sequence_length, made.batch)
        needs = _needs(bench, label, made, "sequence length", at_length, length)
        most = longest_sequence(made.model)
        start = most if most is not None and most <= FURTHER * length else length
        sizes.append(largest_sizes(needs, device.room_bytes, runs, start, "sequence length", rows, most))
    found = Within(label, device, tuple(sizes))
    found.check()
    return found


def _needs(bench: Workbench, label: str, made: Made, what: str, at: Callable[[int], Any], present: int) -> Needs:
    """Captures `made` with the batch `at(size)`; what is known of the `present` size is not captured again."""

    def captured(size: int) -> Profile:
        bench.progress(f"capturing {what} {size:,}", 0.0)
        if size == present:
            return bench.profiles[label]
        title = f"{label}, {what} {size}"
        return profile(made.model, at(size), **made.step_arguments(), fake=True, name=title)

    return Needs(captured, bench.progress)


def _ascending(extra_times: Sequence[float] | None) -> tuple[float, ...]:
    """Each once; a plan that adds no time is made in any case."""
    return EXTRA_TIMES if extra_times is None else tuple(sorted(set(extra_times) - {0}))
