"""The verdict as SVG: a stacked bar for each way to run the step, lines at the memory of GPUs."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import LETTER, RIGHT, WIDTH, Frame, Picture, box, cut, document, key, text
from roam_lab.report.safe_text import xml_text
from roam_lab.report.units import bytes_text
from roam_lab.report.views.axis import ticks
from roam_lab.report.views.look import ink_on
from roam_lab.report.views.verdict import ALLOCATOR, Bar, VerdictView

BAR_HEIGHT, GAP = 26, 12
TOP = 62
NAMES = (108, 230)
"""Least and most width in pixels for the names of bars."""
BOLD = 7.2
"""Approximate width of a letter of names and sizes, in pixels."""
INNER = 7.0
"""The same of labels on parts, with the widest of usual fonts: the plain ground behind a label is as wide."""


def verdict_picture(view: VerdictView) -> Picture:
    """One SVG document of `view`."""
    unit_name, unit = view.unit
    bottom = TOP + len(view.bars) * (BAR_HEIGHT + GAP)
    left = min(max(NAMES[0], 20 + BOLD * max(len(bar.name) for bar in view.bars)), NAMES[1])
    right = WIDTH - RIGHT - _room_for_sizes(view, WIDTH - RIGHT - left)
    frame = Frame(TOP, bottom, view.end_bytes / unit, 1.0, left=left, right=right)
    parts: list[str] = []
    for value in ticks(frame.x_end, 8):
        x = frame.x(value)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP - 8}V{bottom}"/>')
        parts.append(text(x, bottom + 16, f"{value:,g}", "mid"))
    parts.append(text(left - 14, bottom + 16, unit_name, "end"))
    words: list[str] = []
    for number, bar in enumerate(view.bars):
        drawn, inside = _bar(view, bar, frame, TOP + number * (BAR_HEIGHT + GAP), unit)
        parts += drawn
        words += inside
    taken = -1e9
    for line in view.lines:
        x = frame.x(line.room_bytes / unit)
        parts.append(f'<path class="line peak" stroke-dasharray="5 4" d="M{x:.1f} {TOP - 10}V{bottom}"/>')
        if x - taken > (len(line.name) + 1) * LETTER:
            parts.append(text(x, TOP - 14, line.name, "mid", "bold"))
            taken = x
    # drawn above lines that they may cross
    parts += words
    parts += [_size(bar, frame, TOP + at * (BAR_HEIGHT + GAP), unit) for at, bar in enumerate(view.bars)]
    parts += key(view.looks, bottom + 44)
    rows = 1 + sum(40 + 1.1 * LETTER * len(name) for name in view.looks) // (WIDTH - 160)
    return document(view, bottom + 44 + 18 * rows, parts)


def _room_for_sizes(view: VerdictView, width: float) -> float:
    """Pixels of `width` that are left free at the right, so that the size at each bar's end has room there."""
    needed = 0.0
    for bar in view.bars:
        words, share = 16 + BOLD * len(bar.end_text), bar.end_bytes / view.end_bytes
        needed = max(needed, (words - (1 - share) * width) / share if share else 0.0)
    return max(min(needed, width / 2), 40.0)


def _bar(view: VerdictView, bar: Bar, frame: Frame, top: float, unit: int) -> tuple[list[str], list[str]]:
    """Its name and its parts, with a label of each part where there is room."""
    middle = top + BAR_HEIGHT / 2 + 4
    parts = [text(frame.left - 8, middle, cut(bar.name, int((frame.left - 12) / BOLD)), "end", "bold")]
    words: list[str] = []
    at = 0
    for part in bar.parts:
        x, width = frame.x(at / unit), part.bytes / unit / (frame.x_end or 1.0) * (frame.right - frame.left)
        look = view.looks[part.name]
        parts.append(f"<g><title>{part_text(bar, part.name, part.bytes)}</title>")
        height = BAR_HEIGHT / 2 if part.name == ALLOCATOR else BAR_HEIGHT  # it is beside the whole step
        parts.append(box(x, top + BAR_HEIGHT - height, width, height, look, 1.0) + "</g>")
        size = bytes_text(part.bytes)
        labels = [one for one in (f"{part.name} {size}", size) if (len(one) + 2) * INNER < width]
        if labels and part.name != ALLOCATOR:  # hatching would strike the text through
            plain = f'fill="{look.light}" width="{(len(labels[0]) + 1) * INNER:.1f}" height="{BAR_HEIGHT - 8}"'
            words.append(f'<rect x="{x + 3:.1f}" y="{top + 4:.1f}" {plain}/>')
            words.append(text(x + 6, middle, labels[0], more=f' style="fill:{ink_on(look.light)}"'))
        at += part.bytes
    return parts, words


def _size(bar: Bar, frame: Frame, top: float, unit: int) -> str:
    """Its size, at its end."""
    return text(frame.x(bar.end_bytes / unit) + 8, top + BAR_HEIGHT / 2 + 4, bar.end_text, "bold", "halo")


def part_text(bar: Bar, name: str, size: int) -> str:
    """The text that a browser shows while the pointer rests on a part."""
    return xml_text(f"{bar.name}, {name}: {bytes_text(size)}")
