"""Memory against time as SVG: a point for each plan, the non-dominated ones joined."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import FONT, LEFT, RIGHT, WIDTH, Frame, Picture, beside, document
from roam_lab.report.views.labels import ASIDE, room_for
from roam_lab.report.views.pareto import ParetoView

PLOT_HEIGHT = 280
"""Least height in pixels; the names of many plans need more."""
LEAD = ASIDE - 2


def pareto_picture(view: ParetoView) -> Picture:
    """One SVG document of `view`: full circles are non-dominated, hollow diamonds dominated."""
    unit_name, unit = view.unit
    low, high = view.edges_bytes
    height = max(PLOT_HEIGHT, room_for(len(view.points), FONT))
    frame = Frame(52, 52 + height, view.end_seconds, high / unit, low / unit)
    parts = frame.axes(f"{view.time}, s ({view.measured})", f"arena, {unit_name} (predicted)")
    line = ""
    for point in view.front:
        x, y = frame.x(point.seconds), frame.y(point.arena_bytes / unit)
        line += f"H{x:.1f}V{y:.1f}" if line else f"M{x:.1f} {y:.1f}"
    parts.append(f'<path class="line planned" d="{line}"/>')
    for point, label in zip(view.points, view.labels(WIDTH - LEFT - RIGHT, height, FONT), strict=True):
        x, y = frame.x(point.seconds), frame.y(point.arena_bytes / unit)
        if point.best:
            parts.append(f'<circle class="planned-fill" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        else:
            parts.append(f'<path class="line captured" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"/>')
        if label.moved:
            to = frame.bottom - label.y * height - FONT.line / 2
            parts.append(f'<path class="lead" d="M{x:.1f} {y:.1f}V{to:.1f}h{-LEAD if label.before else LEAD}"/>')
        parts.append(beside(label, frame, FONT))
    return document(view, frame.bottom + 50, parts)
