"""The whole step in each way to run it, as bars in SVG."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import FONT, RIGHT, WIDTH, Frame, Picture, beside, cut, document, text
from roam_lab.report.safe_text import xml_text
from roam_lab.report.units import bytes_text
from roam_lab.report.views.labels import placed
from roam_lab.report.views.ways import WaysView

NAMES = 190
ROW = 30
NAME_LETTERS = 28


def ways_picture(view: WaysView) -> Picture:
    """One SVG document of `view`."""
    unit_name, unit = view.unit
    band = 16 + 28 * bool(view.lines)
    bottom = 44 + band + ROW * len(view.bars)
    frame = Frame(44 + band, bottom, view.end_bytes / unit, 1, left=NAMES, right=WIDTH - RIGHT)
    parts = frame.axes(f"reserved for the whole step, {unit_name} (predicted)")
    for line in view.lines:
        x = frame.x(line.bytes / unit)
        parts.append(f'<path class="axis" stroke-dasharray="8 4" d="M{x:.1f} {44 + band - 6}V{bottom}"/>')
    width = frame.right - frame.left
    points = [(line.bytes / view.end_bytes, 0.0, line.name) for line in view.lines]
    above = Frame(40, 40 + band, 1, 1, left=NAMES, right=WIDTH - RIGHT)
    parts += [beside(label, above, FONT) for label in placed(points, width, band, FONT)]
    for number, bar in enumerate(view.bars):
        y = 44 + band + ROW * number
        right = frame.x(bar.bytes / unit)
        role = "planned" if bar.ours else "captured"
        title = xml_text(f"{bar.name}: {bytes_text(bar.bytes)}, {bar.how}")
        parts.append(text(NAMES - 8, y + 17, cut(bar.name, NAME_LETTERS), "end", *(["bold"] if bar.ours else [])))
        parts.append(
            f'<path class="{role}-fill" fill-opacity=".8" d="M{frame.left} {y + 4}H{right:.1f}v18H{frame.left}z">'
            f"<title>{title}</title></path>"
        )
        size = bytes_text(bar.bytes)
        inside = right + 8 + len(size) * FONT.letter > frame.right
        parts.append(text(right - 6 if inside else right + 6, y + 17, size, *(["end"] if inside else [])))
    return document(view, bottom + 50, parts)
