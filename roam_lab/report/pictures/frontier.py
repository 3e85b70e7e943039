"""Memory against extra time as SVG: the frontier as a staircase above its bound; eager, checkpointing and the shown
plan as points; GPUs as horizontal lines."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import FONT, LEFT, RIGHT, WIDTH, Frame, Picture, beside, document
from roam_lab.report.units import bytes_text
from roam_lab.report.views.frontier import FrontierView, Mark
from roam_lab.report.views.labels import ASIDE

PLOT_HEIGHT = 280
LEAD = ASIDE - 2
SHAPES = {
    "planned": '<circle class="planned-fill" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>',
    "captured": '<path class="captured-fill" d="M{x:.1f} {y:.1f}m-5 -5h10v10h-10z">{title}</path>',
    "checkpointed": '<path class="checkpointed-fill" d="M{x:.1f} {y:.1f}m-6 5h12l-6 -11z">{title}</path>',
    "chosen": '<circle class="axis" stroke-width="2" cx="{x:.1f}" cy="{y:.1f}" r="9">{title}</circle>',
}


def frontier_picture(view: FrontierView) -> Picture:
    """One SVG document of `view`; a browser shows a point's numbers while the pointer rests on it."""
    unit_name, unit = view.unit
    frame = Frame(52, 52 + PLOT_HEIGHT, view.end_percent, view.end_bytes / unit)
    parts = frame.axes(view.x_label, f"resident + arena, {unit_name} (predicted)")
    y = frame.y(view.resident_bytes / unit)
    parts.append(f'<path class="axis" stroke-dasharray="2 3" d="M{frame.left} {y:.1f}H{frame.right}"/>')
    for gpu in view.lines:
        y = frame.y(gpu.bytes / unit)
        parts.append(f'<path class="axis" stroke-dasharray="8 4" d="M{frame.left} {y:.1f}H{frame.right}"/>')
    bound = [f"{frame.x(percent):.1f} {frame.y(size / unit):.1f}" for percent, size in view.bound_steps]
    if bound:
        parts.append(f'<path class="line bound" stroke-dasharray="2 4" d="M{"L".join(bound)}"/>')
    line = ""
    for mark in view.front:
        x, y = frame.x(mark.percent), frame.y(mark.whole_bytes / unit)
        line += f"H{x:.1f}V{y:.1f}" if line else f"M{x:.1f} {y:.1f}"
    if line:
        parts.append(f'<path class="line planned" d="{line}"/>')
    for mark in view.marks:
        x, y = frame.x(mark.percent), frame.y(mark.whole_bytes / unit)
        parts.append(SHAPES[mark.role].format(x=x, y=y, title=f"<title>{_title(mark)}</title>"))
    labels = view.labels(WIDTH - LEFT - RIGHT, PLOT_HEIGHT, FONT)
    for anchor, label in zip(view.anchors, labels, strict=True):
        x, y = frame.x(anchor.percent), frame.y(anchor.bytes / unit)
        if label.moved:
            to = frame.bottom - label.y * PLOT_HEIGHT - FONT.line / 2
            parts.append(f'<path class="lead" d="M{x:.1f} {y:.1f}V{to:.1f}h{-LEAD if label.before else LEAD}"/>')
        parts.append(beside(label, frame, FONT, "halo"))
    return document(view, frame.bottom + 50, parts)


def _title(mark: Mark) -> str:
    """A point's numbers as text; no part comes from a file, so nothing is escaped."""
    return f"{mark.name}: {bytes_text(mark.whole_bytes)}, {mark.percent:+.1f} % time; {mark.note}"
