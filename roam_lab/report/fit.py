"""The text report of a fit: which GPU holds which batch, and what fits into a given memory."""

from __future__ import annotations

from roam_lab.plan.fit import FAR, Estimate, Fit
from roam_lab.plan.largest import Largest, Within
from roam_lab.plan.runs import Run
from roam_lab.report.safe_text import printable
from roam_lab.report.text import table
from roam_lab.report.units import bytes_text

MARKS = {"captured": "{}", "between": "~{}", "beyond": "~{}*", "at least": "{} or more"}
"""How an estimate is written, by its basis."""


def fit_text(fit: Fit) -> str:
    """A text report of a fit: the needs at the captured sizes, then the largest size of each GPU; all predicted."""
    titles = [run_text(run) for run in fit.runs]
    needs = [("batch" if fit.axis == "batch size" else "length", "resident", *titles)]
    needs += [
        (f"{point.batch:,}", bytes_text(point.resident_bytes), *(bytes_text(point.need(run)) for run in fit.runs))
        for point in fit.points
    ]
    largest = [("device", "memory", *titles)]
    largest += [
        (
            device.name,
            bytes_text(device.memory_bytes),
            *(estimate_text(fit.largest_batch(device, run)) for run in fit.runs),
        )
        for device in fit.devices
    ]
    last = fit.points[-1]
    more = max(last.least(run) - last.need(run) for run in fit.runs[1:])
    columns = range(1, 2 + len(titles))
    right = frozenset(columns)
    return printable(
        f"{fit.name}: predicted memory of the whole step over the {fit.axis}\n{table(needs, right | {0})}\n"
        "eager: what its allocator reserves; planned, and plans that may add so much time: resident + arena, as plan, "
        f"report and frontier have it (an allocator rounds that up, by up to "
        f"{bytes_text(max(more, 0))} here; what fits is judged with it)\n\n"
        f"largest {fit.axis}\n{table(largest, right)}\n"
        "~ on a straight line between two sizes that were captured; ~* extrapolated beside them; or more: the largest "
        f"that was captured fits, and beyond {FAR} times of it nothing is predicted. No margin is left: take less "
        f"where something else runs on the device. --memory captures the answer itself. {ASSUMED} Of each device, "
        "1 GiB is taken as lost to the driver's context, or to Python and PyTorch themselves; in RAM, malloc may hold "
        "more than is alive."
    )


ASSUMED = (
    "PyTorch's caching allocator is simulated; before it gives up, it gives back what it caches, so that a batch can "
    "fit that would take more where there is more."
)


def estimate_text(found: Estimate) -> str:
    """The size, with a mark that says how it is known (see MARKS): "93", "~93", "~93*", "512 or more", "none"."""
    return MARKS[found.basis].format(f"{found.size:,}") if found.size else "none"


def run_text(run: Run) -> str:
    """The name of a run: "eager", "planned", "+5 %"."""
    return run if isinstance(run, str) else f"+{100 * run:g} %"


def within_text(found: Within) -> str:
    """A table for each axis of the batch: the largest size of each run, and what the next size needs."""
    device = found.device
    parts = [
        f"{found.name}: what fits into {bytes_text(device.memory_bytes)}, {bytes_text(device.overhead_bytes)} of it "
        "taken as lost to the driver's context, or to Python and PyTorch themselves"
    ]
    for along in found.sizes:
        titles = ("run", f"largest {along.axis}", "against eager", "reserved", "at the next size", "time added")
        eager = along.largest[0].size
        rows = [titles, *(_row(one, eager, along.most) for one in along.largest)]
        beside = {"batch size": " at sequence length ", "sequence length": " at batch size "}[along.axis]
        fixed = "" if along.fixed is None else f"{beside}{along.fixed:,}"
        parts.append(f"{along.axis}{fixed} ({len(along.captured)} captured)\n{table(rows, frozenset(range(1, 6)))}")
    parts.append(
        "Reserved: what the allocator takes for the whole step, resident bytes included; a plan's own resident + arena "
        f"is a little less. Every largest size and the next one are captured and planned. {ASSUMED} Time added "
        "is computed from the rates of a GPU where no op was timed; +5 %: a plan that may add so much."
    )
    return printable("\n\n".join(parts))


def _row(one: Largest, eager: int, most: int | None) -> tuple[str, ...]:
    return (
        run_text(one.run),
        f"{one.size:,}" if one.size else "none",
        "" if not eager or one.run == "eager" else f"{one.size / eager:.2f} x",
        bytes_text(one.bytes) if one.size else "",
        "the model's end" if one.size == most else "" if one.next_bytes is None else bytes_text(one.next_bytes),
        "" if one.run == "eager" else f"{100 * one.extra_time:.1f} %",
    )
