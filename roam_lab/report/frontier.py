"""A frontier as text: what each point takes and costs."""

from __future__ import annotations

from roam_lab.ir.files import write_text
from roam_lab.plan.frontier import Frontier, LaidOutPoint
from roam_lab.report.pictures.frontier import frontier_picture
from roam_lab.report.safe_text import printable
from roam_lab.report.text import table
from roam_lab.report.units import bytes_text
from roam_lab.report.views.frontier import eager_step_bytes, frontier_view


def frontier_text(found: Frontier) -> str:
    """A line for each point: more time, arena, the whole step and its part of eager's, as headlines have it, ops that
    run again; what eager and others reserve below. Old files do not know eager's live peak: there it is the captured
    order's.
    """
    known = found.eager_peak_bytes is not None
    rows = [("more time", "arena", "resident + arena", "of eager" if known else "of captured", "ops again")]
    rows += [_line(found, point) for point in found.points]
    before = f"{'eager' if known else 'captured order'}, whole step {bytes_text(eager_step_bytes(found))}, predicted"
    if found.eager_bytes is not None:
        before += f" (its allocator reserves {bytes_text(found.eager_bytes)})"
    parts = [
        f"{found.name}: {before}; times: {found.times}",
        table(rows, frozenset(range(5))),
        "Ops again: those that run a second time. Free points fuse ops and run them in place.",
    ]
    parts += _without_a_plan(found)
    return printable("\n".join(parts))


def _without_a_plan(found: Frontier) -> list[str]:
    """What eager takes, and what PyTorch offers itself."""
    if found.eager_bytes is None:
        return []
    lines = [("without a plan", "more time", "reserved")]
    lines.append(("eager", "", bytes_text(found.eager_bytes)))
    for way in found.alternatives:
        more = "not known" if way.extra_time is None else f"{100 * way.extra_time:.1f} %"
        lines.append((way.name, more, bytes_text(found.eager_bytes - way.saved_bytes)))
    bounds = (
        "Reserved: by the caching allocator, simulated, with what it rounds up and cannot use; a plan's arena is one "
        "piece. bf16 autocast is an estimate, with other rounding."
    )
    return [table(lines, frozenset({1, 2})), bounds]


def write_frontier(found: Frontier, path: str) -> None:
    """Write `found` to `path`: its figure where that ends in .svg, else its points as JSON. Raises OutputError."""
    if path.endswith(".svg"):
        write_text(path, frontier_picture(frontier_view(found)))
    else:
        found.save(path)


def _line(found: Frontier, point: LaidOutPoint) -> tuple[str, str, str, str, str]:
    whole = found.resident_bytes + point.arena_bytes
    part = whole / max(eager_step_bytes(found), 1)
    return (
        f"{100 * point.extra_time:.1f} %",
        bytes_text(point.arena_bytes),
        bytes_text(whole),
        f"{100 * part:.1f} %",
        f"{point.recomputed:,}",
    )
