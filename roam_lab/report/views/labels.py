"""Where the labels of points go so that no two overlap: one rule for bokeh and SVG.

Positions are fractions of the plot, x from its left edge (0) to its right (1), y from its bottom (0) to its top (1): in
a plot that is drawn larger than asked for here, labels only move further apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ASIDE = 9
"""Pixels between a point and its name."""
ABOVE = 3
MARKER = 7
"""Half a marker's width, in pixels: names avoid other points, too, where there is room."""


@dataclass(frozen=True, slots=True)
class Label:
    """`text` at height `y` (its lower edge) beside the point at `x`: right of it or, with `before`, left of it.

    `moved`: it is more than a line of text away from its point, so that a line between them helps.
    """

    text: str
    x: float
    y: float
    before: bool
    moved: bool


@dataclass(frozen=True, slots=True)
class Font:
    """Approximate width of a letter and height of a line of text, in pixels."""

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
    """The height in pixels that fits `count` names wherever their points are."""
    return (2 * count + 1) * font.line


def placed(points: Sequence[tuple[float, float, str]], width: float, height: float, font: Font) -> list[Label]:
    """A label for each (x, y, name), in a plot of `width` by `height` pixels.

    From the highest point down, each label is placed as near to its point as the labels before it allow: right of it,
    or left where there is more room, then moved up or, where that is much nearer, down; text that does not fit is cut.
    No two labels overlap if `height` is at least `room_for` all of them.
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
        level = _Box(0, width, y * height - 1, y * height + 1)  # the plot's own lines run at this height
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
    """The box nearest to `wanted` that overlaps neither names nor markers, else no names, else any."""
    edges = [edge for box in (*taken, *markers) for edge in (box.top, box.bottom - line)]
    levels = [min(max(level, 0.0), height - line) for level in (wanted, *edges)]
    levels.sort(key=lambda level: (level - wanted if level >= wanted else 2 * (wanted - level), level))
    # the line from a name to its point counts, too: so names do not overlap when the plot is stretched
    left, right = (x - ASIDE - wide, x) if before else (x, x + ASIDE + wide)
    boxes = [_Box(left, right, level, level + line) for level in levels]
    off_names = [box for box in boxes if not any(map(box.meets, taken))]
    for box in off_names:
        words = _Box(left if before else x + ASIDE, x - ASIDE if before else right, box.bottom, box.top)
        if not any(map(words.meets, markers)):
            return box
    return (off_names or boxes)[0]
