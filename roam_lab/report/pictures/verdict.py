"""The verdict as SVG: a stacked bar for each way to run the step, lines where GPUs end."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import LETTER, RIGHT, WIDTH, Frame, Picture, box, cut, document, key, room, text
from roam_lab.report.safe_text import xml_text
from roam_lab.report.units import bytes_text
from roam_lab.report.views.axis import ticks
from roam_lab.report.views.verdict import ALLOCATOR, Bar, VerdictView

BAR_HEIGHT, GAP = 26, 12
TOP = 62
NAME_WIDTH = 108
ENDS_WIDTH = 92
"""Pixels right of the longest bar, for its size."""
INK = "fill:#111"
"""Words on a coloured part: dark in both themes, as the colours are the same."""
HALO = "stroke:#fff;stroke-opacity:.75;stroke-width:3px;paint-order:stroke"
"""Around words over a hatch."""


def verdict_picture(view: VerdictView) -> Picture:
    """One SVG document of `view`."""
    unit_name, unit = view.unit
    bottom = TOP + len(view.bars) * (BAR_HEIGHT + GAP)
    frame = Frame(TOP, bottom, view.end_bytes / unit, 1.0, left=NAME_WIDTH, right=WIDTH - RIGHT - ENDS_WIDTH)
    parts: list[str] = []
    for value in ticks(frame.x_end, 8):
        x = frame.x(value)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP - 8}V{bottom}"/>')
        parts.append(text(x, bottom + 16, f"{value:,g}", "mid"))
    parts.append(text(NAME_WIDTH - 14, bottom + 16, unit_name, "end"))
    for number, bar in enumerate(view.bars):
        parts += _bar(view, bar, frame, TOP + number * (BAR_HEIGHT + GAP), unit)
    taken = -1e9
    for line in view.lines:
        x = frame.x(line.room_bytes / unit)
        parts.append(f'<path class="line peak" stroke-dasharray="5 4" d="M{x:.1f} {TOP - 10}V{bottom}"/>')
        if x - taken > (len(line.name) + 1) * LETTER:
            parts.append(text(x, TOP - 14, line.name, "mid", "bold"))
            taken = x
    # over the lines that they may meet
    parts += [_size(bar, frame, TOP + at * (BAR_HEIGHT + GAP), unit) for at, bar in enumerate(view.bars)]
    parts += key(view.looks, bottom + 44)
    rows = 1 + sum(40 + 1.1 * LETTER * len(name) for name in view.looks) // (WIDTH - 160)
    return document(view, bottom + 44 + 18 * rows, parts)


def _bar(view: VerdictView, bar: Bar, frame: Frame, top: float, unit: int) -> list[str]:
    """Its name, and its parts with what they hold where there is room."""
    middle = top + BAR_HEIGHT / 2 + 4
    parts = [text(NAME_WIDTH - 8, middle, cut(bar.name, room(NAME_WIDTH - 12)), "end", "bold")]
    at = 0
    for part in bar.parts:
        x, width = frame.x(at / unit), part.bytes / unit / (frame.x_end or 1.0) * (frame.right - frame.left)
        look = view.looks[part.name]
        parts.append(f"<g><title>{part_text(bar, part.name, part.bytes)}</title>")
        height = BAR_HEIGHT / 2 if part.name == ALLOCATOR else BAR_HEIGHT  # it is beside the whole step
        parts.append(box(x, top + BAR_HEIGHT - height, width, height, look, 1.0) + "</g>")
        words = f"{part.name} {bytes_text(part.bytes).split()[0]}"
        if (len(words) + 1) * LETTER < width and part.name != ALLOCATOR:
            style = INK if look.hatch == " " else f"{INK};{HALO}"
            parts.append(text(x + 5, middle, words, more=f' style="{style}"'))
        at += part.bytes
    return parts


def _size(bar: Bar, frame: Frame, top: float, unit: int) -> str:
    """Its size, at its end."""
    end = sum(part.bytes for part in bar.parts)
    return text(frame.x(end / unit) + 8, top + BAR_HEIGHT / 2 + 4, bytes_text(bar.step_bytes), "bold", "halo")


def part_text(bar: Bar, name: str, size: int) -> str:
    """What a browser shows while the pointer rests on a part."""
    return xml_text(f"{bar.name}, {name}: {bytes_text(size)}")
