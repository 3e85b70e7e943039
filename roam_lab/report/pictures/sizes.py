"""Memory of the whole step over batch size or sequence length as SVG."""

from __future__ import annotations

from collections.abc import Iterable

from roam_lab.report.pictures.canvas import FONT, LEFT, RIGHT, WIDTH, Frame, Picture, beside, document, text
from roam_lab.report.safe_text import xml_text
from roam_lab.report.units import bytes_text
from roam_lab.report.views.labels import ASIDE
from roam_lab.report.views.sizes import SizesView

PLOT_HEIGHT = 300
LEAD = ASIDE - 2


def sizes_picture(view: SizesView) -> Picture:
    """One SVG document of `view`: captured sizes are dots on solid lines, what is extrapolated is dashed."""
    unit_name, unit = view.unit
    frame = Frame(66, 66 + PLOT_HEIGHT, view.end_size, view.end_bytes / unit)

    def path(corners: Iterable[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{frame.x(size):.1f} {frame.y(need / unit):.1f}" for size, need in corners)

    parts = frame.axes(view.x_label, f"whole step, {unit_name}; eager: reserved (predicted)")
    key = "dots: captured and planned · solid: between them · short dashes: extrapolated · long dashes: what a GPU has"
    parts.append(text(16, 44, key))
    for gpu in view.lines:
        y = frame.y(gpu.bytes / unit)
        parts.append(f'<path class="axis" stroke-dasharray="8 4" d="M{frame.left} {y:.1f}H{frame.right}"/>')
    for curve in view.curves:
        if len(curve.known) > 1:
            parts.append(f'<path class="line {curve.role}" stroke-width="2" d="{path(curve.known)}"/>')
        for part in curve.beyond:
            parts.append(f'<path class="line {curve.role}" stroke-dasharray="3 4" d="{path(part)}"/>')
        for size, need in curve.points:
            if size <= view.end_size and need <= view.end_bytes:
                x, y = frame.x(size), frame.y(need / unit)
                title = xml_text(f"{curve.name} at {size:,}: {bytes_text(need)}, captured and planned")
                parts.append(
                    f'<circle class="{curve.role}-fill" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{title}</title></circle>'
                )
    if view.ring is not None:
        x, y = frame.x(view.ring[0]), frame.y(view.ring[1] / unit)
        parts.append(f'<circle class="axis" stroke-width="2" cx="{x:.1f}" cy="{y:.1f}" r="9"/>')
    labels = view.labels(WIDTH - LEFT - RIGHT, PLOT_HEIGHT, FONT)
    for (at, height, _), label in zip(view.anchors, labels, strict=True):
        x, y = frame.x(at), frame.y(height / unit)
        if label.moved:
            to = frame.bottom - label.y * PLOT_HEIGHT - FONT.line / 2
            parts.append(f'<path class="lead" d="M{x:.1f} {y:.1f}V{to:.1f}h{-LEAD if label.before else LEAD}"/>')
        parts.append(beside(label, frame, FONT, "halo"))
    return document(view, frame.bottom + 50, parts)
