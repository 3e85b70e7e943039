"""ROAM's tree as SVG: an icicle, leaves at the bottom."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import Frame, Picture, box, cut, document, key, room, text
from roam_lab.report.views.look import STATUSES, Look
from roam_lab.report.views.tasks import TasksView

ROW = 40
NARROWEST = 0.4
"""Pixels: cells that are narrower are not drawn; the table has them all."""
MOST_HATCHED = 400


def tasks_picture(view: TasksView) -> Picture:
    """One SVG document of `view`."""
    frame = Frame(68, 68 + view.depth * ROW, max(view.ops, 1), 1, left=16)
    parts = frame.axes("op, in the sequence of the tree") + key(STATUSES, 50)
    shown = [cell for cell in view.cells if frame.x(cell.right) - frame.x(cell.left) >= NARROWEST]
    for number, cell in enumerate(shown):
        left, width = frame.x(cell.left), frame.x(cell.right) - frame.x(cell.left)
        look = STATUSES[cell.status]
        if not cell.leaf or number >= MOST_HATCHED:
            look = Look(look.light, look.dark)
        y = frame.top + cell.depth * ROW
        parts.append(box(left, y, width - 0.5, ROW - 3, look, 0.65 if cell.leaf else 0.2))
        if room(width) > len(cell.label):
            parts.append(text(left + width / 2, y + ROW / 2 + 3, cut(cell.label, room(width)), "mid"))
    return document(view, frame.bottom + 50, parts)
