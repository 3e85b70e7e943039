"""Bars of what is alive at the peak, as SVG."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import LETTER, RIGHT, WIDTH, Frame, Picture, box, cut, document, key, room, text
from roam_lab.report.units import bytes_text, unit_for
from roam_lab.report.views.alive import AliveView, Bar
from roam_lab.report.views.look import RESIDENT, kind_looks

ROW = 19
LEAST = 0.5
"""The longest bar has at least this part of the width; names that find no room then are cut."""


def alive_picture(view: AliveView) -> Picture:
    """One SVG document of `view`: the captured order's bars above the planned one's, on one scale."""
    looks = kind_looks(bar.kind for side in view.sides for bar in side.bars if bar.storage >= 0)
    widest = max([bar.bytes for side in view.sides for bar in side.bars] + [1])
    unit_name, unit = unit_for(widest)
    lines = sum(len(side.bars) + 2 for side in view.sides)
    shares = [(bar.bytes / widest, LETTER * len(_words(bar)) + 12) for side in view.sides for bar in side.bars]
    longest = max(min(_length(*one) for one in shares) if shares else 0.0, LEAST * (WIDTH - RIGHT - 16))
    frame = Frame(70, 70 + lines * ROW, widest / unit * (WIDTH - RIGHT - 16) / longest, 1, left=16)
    parts = frame.axes(f"bytes, {unit_name} (predicted)") + key(looks, 50)
    y = frame.top + ROW
    for side in view.sides:
        head = f"{side.label}: {bytes_text(side.peak_bytes)} {side.at}"
        parts.append(text(16, y - 5, cut(head, room(WIDTH - 32)), "bold"))
        for bar in side.bars:
            width = frame.x(bar.bytes / unit) - frame.left
            parts.append(box(frame.left, y, width, ROW - 4, looks.get(bar.kind, RESIDENT)))
            end = frame.left + width + 6
            parts.append(text(end, y + ROW - 8, cut(_words(bar), room(WIDTH - RIGHT - end))))
            y += ROW
        y += 2 * ROW
    return document(view, frame.bottom + 50, parts)


def _words(bar: Bar) -> str:
    return f"{bytes_text(bar.bytes)}  {bar.label}"


def _length(share: float, words: float) -> float:
    """Pixels that the longest bar may have, so that `words` pixels have room behind one of `share` of its length."""
    return (WIDTH - RIGHT - 16 - words) / share if share else float(WIDTH)
