"""Bars of what is alive at the peak, as SVG."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import RIGHT, WIDTH, Frame, Picture, box, cut, document, key, room, text
from roam_lab.report.units import bytes_text, unit_for
from roam_lab.report.views.alive import AliveView
from roam_lab.report.views.look import RESIDENT, kind_looks

ROW = 19


def alive_picture(view: AliveView) -> Picture:
    """One SVG document of `view`: the captured order's bars above the planned one's, on one scale."""
    looks = kind_looks(bar.kind for side in view.sides for bar in side.bars if bar.storage >= 0)
    widest = max([bar.bytes for side in view.sides for bar in side.bars] + [1])
    unit_name, unit = unit_for(widest)
    lines = sum(len(side.bars) + 2 for side in view.sides)
    frame = Frame(70, 70 + lines * ROW, widest / unit * 1.5, 1, left=16)
    parts = frame.axes(f"bytes, {unit_name} (predicted)") + key(looks, 50)
    y = frame.top + ROW
    for side in view.sides:
        head = f"{side.label}: {bytes_text(side.peak_bytes)} {side.at}"
        parts.append(text(16, y - 5, cut(head, room(WIDTH - 32)), "bold"))
        for bar in side.bars:
            width = frame.x(bar.bytes / unit) - frame.left
            parts.append(box(frame.left, y, width, ROW - 4, looks.get(bar.kind, RESIDENT)))
            end = frame.left + width + 6
            words = f"{bytes_text(bar.bytes)}  {bar.label}"
            parts.append(text(end, y + ROW - 8, cut(words, room(WIDTH - RIGHT - end))))
            y += ROW
        y += 2 * ROW
    return document(view, frame.bottom + 50, parts)
