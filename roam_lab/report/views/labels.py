"""Where names stand beside points so that no two overprint: one rule for bokeh and SVG.

Places are parts of the plot, x from its left edge (0) to its right (1), y from its bottom (0) to its top (1): in a plot
that is drawn larger than asked for here names only move further apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ASIDE = 9
"""Pixels between a point and its name."""
ABOVE = 3
MARKER = 7
"""Half a marker's width, in pixels: names keep off other points where there is room for that, too."""


@dataclass(frozen=True, slots=True)
class Label:
    """`text` at height `y` (its lower edge) beside the point at `x`: right of it or, `before`, left of it.

    `moved`: it stands more than a line off its point, so that a line between them helps.
    """

    text: str
    x: float
    y: float
    before: bool
    moved: bool


@dataclass(frozen=True, slots=True)
class Font:
    """Pixels that a letter is wide, about, and a line is high."""

    letter: float
    line: float


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    right: float
    bottom: float
    top: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top - 1e-6
            and other.bottom < self.top - 1e-6
        )


def room_for(count: int, font: Font) -> float:
    """Pixels of height in which `count` names find a place wherever their points are."""
    return (2 * count + 1) * font.line


def placed(points: Sequence[tuple[float, float, str]], width: float, height: float, font: Font) -> list[Label]:
    """A label for each (x, y, name), in a plot of `width` by `height` pixels.

    The highest first, each stands as near to its point as those before it let it: right of it, or left where there is
    more room, then moved up or, where that is much nearer, down; what does not fit there is cut. None meets another if
    `height` is at least `room_for` all of them.
    """
    markers = [
        _Box(x * width - MARKER, x * width + MARKER, y * height - MARKER, y * height + MARKER) for x, y, _ in points
    ]
    taken: list[_Box] = []
    found: dict[int, Label] = {}
    for number in sorted(range(len(points)), key=lambda one: (-points[one][1], points[one][0], one)):
        x, y, name = points[number]
        before = (1 - x) * width < ASIDE + len(name) * font.letter and x > 0.5
        most = max(int(((x if before else 1 - x) * width - ASIDE) / font.letter), 1)
        text = name if len(name) <= most else f"{name[: most - 1]}…"
        wanted = y * height + ABOVE
        level = _Box(0, width, y * height - 1, y * height + 1)  # lines of the plot run here
        others = [*markers[:number], *markers[number + 1 :], level]
        box = _place(x * width, wanted, len(text) * font.letter, before, height, font.line, taken, others)
        taken.append(box)
        moved = abs(box.bottom - wanted) > font.line
        found[number] = Label(text, x, box.bottom / height, before, moved)
    return [found[number] for number in range(len(points))]


def _place(
    x: float,
    wanted: float,
    wide: float,
    before: bool,
    height: float,
    line: float,
    taken: Sequence[_Box],
    markers: Sequence[_Box],
) -> _Box:
    """The free box nearest to `wanted`: off names and markers if there is one, else off names, else anywhere."""
    edges = [edge for box in (*taken, *markers) for edge in (box.top, box.bottom - line)]
    levels = [min(max(level, 0.0), height - line) for level in (wanted, *edges)]
    levels.sort(key=lambda level: (level - wanted if level >= wanted else 2 * (wanted - level), level))
    # names meet others with what lies between them and their points, too: so they stay apart when the plot is stretched
    left, right = (x - ASIDE - wide, x) if before else (x, x + ASIDE + wide)
    boxes = [_Box(left, right, level, level + line) for level in levels]
    off_names = [box for box in boxes if not any(map(box.meets, taken))]
    for box in off_names:
        words = _Box(left if before else x + ASIDE, x - ASIDE if before else right, box.bottom, box.top)
        if not any(map(words.meets, markers)):
            return box
    return (off_names or boxes)[0]
