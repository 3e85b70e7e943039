"""Memory against time as SVG: a point a plan, those that no other beats joined."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import Frame, cut, document, text
from roam_lab.report.views.pareto import ParetoView

PLOT_HEIGHT = 280


def pareto_picture(view: ParetoView) -> str:
    """One SVG document of `view`: full circles are not beaten in both, hollow diamonds are."""
    unit_name, unit = view.unit
    sizes = [point.arena_bytes / unit for point in view.points]
    margin = 0.12 * (max(sizes) - min(sizes)) or 0.1 * max(sizes) or 1.0
    slowest = max(point.seconds for point in view.points) or 1.0
    frame = Frame(52, 52 + PLOT_HEIGHT, slowest * 1.3, max(sizes) + margin, max(min(sizes) - margin, 0.0))
    parts = frame.axes(f"{view.time}, s ({view.measured})", f"arena, {unit_name} (predicted)")
    line = ""
    for point in view.front:
        x, y = frame.x(point.seconds), frame.y(point.arena_bytes / unit)
        line += f"H{x:.1f}V{y:.1f}" if line else f"M{x:.1f} {y:.1f}"
    parts.append(f'<path class="line planned" d="{line}"/>')
    for point in view.points:
        x, y = frame.x(point.seconds), frame.y(point.arena_bytes / unit)
        if point.best:
            parts.append(f'<circle class="planned-fill" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        else:
            parts.append(f'<path class="line captured" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"/>')
        parts.append(text(x + 9, y - 5, cut(point.name, 32)))
    return document(view, frame.bottom + 50, parts)
