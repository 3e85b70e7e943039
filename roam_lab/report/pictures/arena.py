"""The arena map as SVG: one path for each kind, so that thousands of rectangles stay a small file."""

from __future__ import annotations

import numpy as np

from roam_lab.report.pictures.canvas import Frame, Picture, document, hatch, key
from roam_lab.report.views.arena import ArenaView
from roam_lab.report.views.look import kind_looks

PLOT_HEIGHT = 340
MOST = 3500
"""Rectangles that are drawn, the largest ones: smaller ones would be specks, and the file over 200 kB."""
HATCHED = 7.0
"""Rectangles are hatched from this height in pixels on."""
MOST_HATCHING = 30_000
"""Most letters that all hatches together take in the file."""


def arena_picture(view: ArenaView) -> Picture:
    """One SVG document of `view`."""
    unit_name, unit = view.unit
    frame = Frame(76, 76 + PLOT_HEIGHT, view.axis.end, max(view.arena_bytes, 1) / unit * 1.03)
    parts = frame.axes(view.axis.label, f"address in the arena, {unit_name} (predicted)", view.axis.ticks(8))
    looks = kind_looks(view.kind)
    area = (view.right - view.left) * (view.top - view.bottom).astype(float)
    rows = np.argsort(-area, kind="stable")[:MOST].tolist()
    paths: dict[str, list[str]] = {kind: [] for kind in looks}
    lines = ""
    for row in rows:
        x, y = frame.x(float(view.left[row])), frame.y(float(view.top[row]) / unit)
        width = max(frame.x(float(view.right[row])) - x, 0.5)
        height = max(frame.y(float(view.bottom[row]) / unit) - y, 0.4)
        paths[view.kind[row]].append(f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z")
        if height >= HATCHED and len(lines) < MOST_HATCHING:
            lines += hatch(x, y, width, height, looks[view.kind[row]].hatch)[:MOST_HATCHING]
    for kind, found in paths.items():
        colour = looks[kind].light
        parts.append(
            f'<path fill="{colour}" fill-opacity=".6" stroke="{colour}" stroke-width=".4" d="{"".join(found)}"/>'
        )
    parts.append(f'<path class="hatch" stroke-width=".8" d="{lines}"/>')
    for level, dash in ((view.arena_bytes, "6 4"), (view.external_bytes, "2 3")):
        if level is not None:
            y = frame.y(level / unit)
            parts.append(f'<path class="axis" stroke-dasharray="{dash}" d="M{frame.left} {y:.1f}H{frame.right}"/>')
    return document(view, frame.bottom + 50, [*parts, *key(looks, 50)])
