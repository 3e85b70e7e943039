"""Which GPU holds which batch, as text and as rows."""

from __future__ import annotations

from roam_lab.plan.fit import MOST_BATCH, RUNS, Fit
from roam_lab.report.legal import legal
from roam_lab.report.text import table
from roam_lab.report.units import bytes_text


def fit_text(fit: Fit) -> str:
    """Needs of the captured batch sizes, then the largest batch of each GPU; all predicted."""
    needs = [("batch", "resident", *(f"{run}, whole step" for run in RUNS))]
    needs += [
        (f"{point.batch:,}", bytes_text(point.resident_bytes), *(bytes_text(point.need(run)) for run in RUNS))
        for point in fit.points
    ]
    largest = [("GPU", "memory", *(f"largest batch, {run}" for run in RUNS))]
    largest += [
        (device.name, bytes_text(device.memory_bytes), *(_batch(fit.largest_batch(device, run)) for run in RUNS))
        for device in fit.devices
    ]
    right = frozenset({1, 2, 3})
    return legal(
        f"{fit.name}: predicted memory over the batch size\n{table(needs, right | {0})}\n\n{table(largest, right)}\n"
        "Sizes that were not captured lie on straight lines through those that were; of each GPU, 1 GiB is taken as "
        "lost to the driver's context. PyTorch's caching allocator is simulated; before it gives up, it gives "
        "back what it caches, so that a batch can fit that would take more where there is more."
    )


def _batch(size: int) -> str:
    return f"over {size:,}" if size == MOST_BATCH else f"{size:,}" if size else "none"
