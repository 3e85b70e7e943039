"""What all SVG pictures share: the document with its text, colours for light and dark pages, axes, a key, hatches.

A picture brings its own background, light or dark as the viewer prefers; it holds no script and no id, so that several
fit into one page. Names are escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from roam_lab.report.safe_text import printable, xml_text
from roam_lab.report.views.axis import ticks
from roam_lab.report.views.labels import ASIDE, Font, Label
from roam_lab.report.views.look import PEAK, PHASES, ROLES, TIMES, Look
from roam_lab.report.views.table import View

WIDTH = 860
LEAST_WIDTH = 680
"""Pixels to which an image is made smaller on a narrow page; then it is scrolled, as its letters get too small."""
LEFT, RIGHT = 76, 22
LETTER = 6.1
"""Approximate width of a letter of the usual size, in pixels."""
FONT = Font(6.6, 14.0)
"""The font of labels beside points; wide enough for broad letters."""
SMALL_FONT = Font(5.9, 12.0)
HATCH_GAP = 9


def _rules(theme: str) -> str:
    looks: dict[str, Look] = {**ROLES, **TIMES, **PHASES, "peak": PEAK}
    return "".join(
        f".roam-pic .{name}{{stroke:{look.colour(theme)}}}.roam-pic .{name}-fill{{fill:{look.colour(theme)}}}"
        for name, look in looks.items()
    )


STYLE = f"""
.roam-pic{{font:12px system-ui,sans-serif}}
.roam-pic .paper{{fill:#fff}}.roam-pic text{{fill:#222}}.roam-pic .head{{font-size:15px;font-weight:600}}
.roam-pic .bold{{font-weight:600}}.roam-pic .small{{font-size:10px}}.roam-pic .mid{{text-anchor:middle}}
.roam-pic .end{{text-anchor:end}}.roam-pic .lead{{stroke:#777;stroke-opacity:.7;stroke-width:.8;fill:none}}
.roam-pic .axis{{stroke:#555;fill:none}}.roam-pic .grid{{stroke:#ddd;fill:none}}
.roam-pic .line{{fill:none;stroke-width:1.6;stroke-linejoin:round}}.roam-pic .faint{{fill-opacity:.16}}
.roam-pic .band{{fill-opacity:.42;stroke-width:.7}}.roam-pic .head-of-arrow{{fill:#555}}
.roam-pic .halo{{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}}
.roam-pic .hatch{{stroke:#222;stroke-opacity:.45;fill:none;stroke-linecap:round}}
{_rules("light")}
@media (prefers-color-scheme:dark){{
.roam-pic .paper{{fill:#1b1b1b}}.roam-pic text{{fill:#eee}}.roam-pic .axis{{stroke:#aaa}}
.roam-pic .halo{{stroke:#1b1b1b}}
.roam-pic .grid{{stroke:#3a3a3a}}.roam-pic .hatch{{stroke:#eee}}.roam-pic .head-of-arrow{{fill:#aaa}}
{_rules("dark")}}}
""".strip()


class Picture(str):
    """An SVG document that a notebook shows as a picture; as text it is its alt text, `alt`. `height`: in
    pixels."""

    alt: str
    height: int

    def __new__(cls, svg: str, alt: str, height: float) -> Picture:
        made = super().__new__(cls, svg)
        made.alt = printable(alt)
        made.height = round(height)
        return made

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        return str(self)


def document(view: View, height: float, parts: Iterable[str]) -> Picture:
    """One SVG document of `parts`, its title above them, with alt text for those who cannot see it."""
    title = xml_text(view.title)
    svg = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="roam-pic" role="img" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" height="{height:.0f}" style="max-width:100%;height:auto" aria-label="{title}">',
            f"<title>{title}</title>",
            f"<desc>{xml_text(view.alt)}</desc>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height:.0f}" rx="6"/>',
            text(16, 24, cut(view.title, 96), "head"),
            *parts,
            "</svg>\n",
        ]
    )
    return Picture(svg, view.alt, height)


def as_image(picture: Picture) -> str:
    """`picture` as an image element, for HTML that may be sanitized: an untrusted notebook or a code host removes all
    of an inline SVG but its text."""
    data = b64encode(picture.encode()).decode()
    size = f'width="{WIDTH}" height="{picture.height}" style="max-width:100%;min-width:{LEAST_WIDTH}px;height:auto"'
    image = f'<img class="roam-image" alt="{xml_text(picture.alt)}" {size} src="data:image/svg+xml;base64,{data}">'
    return f'<div style="overflow-x:auto">{image}</div>'


def text(x: float, y: float, words: str, *classes: str, more: str = "") -> str:
    """Text at a position; `classes`: head, bold, small, mid, end."""
    named = f' class="{" ".join(classes)}"' if classes else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named}{more}>{xml_text(words)}</text>'


def cut(words: str, limit: int) -> str:
    """`words`, cut at the end to `limit` letters."""
    return words if len(words) <= limit else words[: max(limit - 1, 0)] + "…"


def room(pixels: float) -> int:
    """How many letters fit into `pixels`."""
    return max(int(pixels / LETTER), 1)


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot between `top` and `bottom` pixels: x from 0 to `x_end`, y from `y_start` to `y_end` in units of data."""

    top: float
    bottom: float
    x_end: float
    y_end: float
    y_start: float = 0.0
    left: float = LEFT
    right: float = WIDTH - RIGHT

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return self.left + value / (self.x_end or 1.0) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Pixels from above."""
        return self.bottom - (value - self.y_start) / ((self.y_end - self.y_start) or 1.0) * (self.bottom - self.top)

    def axes(self, x_label: str, y_label: str = "", x_ticks: Sequence[tuple[float, str]] | None = None) -> list[str]:
        """Grid, ticks, both axes and what they count; without `y_label` only the x axis, without `x_ticks` round
        numbers on it."""
        parts = []
        if y_label:
            for value in ticks(self.y_end, 5):
                if value >= self.y_start:
                    y = self.y(value)
                    parts.append(f'<path class="grid" d="M{self.left} {y:.1f}H{self.right}"/>')
                    parts.append(text(self.left - 8, y + 4, f"{value:,g}", "end"))
            middle = (self.top + self.bottom) / 2
            turned = f' transform="translate(18 {middle:.0f}) rotate(-90)"'
            parts.append(text(0, 0, y_label, "mid", more=turned))
        down = f"M{self.left} {self.top - 6:.1f}V{self.bottom:.1f}" if y_label else f"M{self.left} {self.bottom:.1f}"
        parts.append(f'<path class="axis" d="{down}H{self.right}"/>')
        for value, words in x_ticks or [(value, f"{value:,g}") for value in ticks(self.x_end, 8)]:
            x = self.x(value)
            parts.append(f'<path class="axis" d="M{x:.1f} {self.bottom:.1f}v5"/>')
            parts.append(text(x, self.bottom + 18, words, "mid"))
        parts.append(text((self.left + self.right) / 2, self.bottom + 38, x_label, "mid"))
        return parts


def beside(label: Label, frame: Frame, font: Font, *classes: str) -> str:
    """A label where its view placed it."""
    x = frame.left + label.x * (frame.right - frame.left)
    foot = frame.bottom - label.y * (frame.bottom - frame.top)
    aside, anchor = (-ASIDE, ("end",)) if label.before else (ASIDE, ())
    return text(x + aside, foot - 0.27 * font.line, label.text, *classes, *anchor)


def key(looks: Mapping[str, Look], y: float, x: float = 16) -> list[str]:
    """A legend: a row of hatched patches, each with its meaning."""
    parts = []
    for name, look in looks.items():
        words = cut(name, 24)
        parts.append(box(x, y - 10, 14, 12, look))
        parts.append(text(x + 20, y, words))
        x += 40 + 1.1 * LETTER * len(words)
        if x > WIDTH - 160:
            x, y = 16, y + 18
    return parts


def box(x: float, y: float, width: float, height: float, look: Look, opacity: float = 0.75) -> str:
    """A filled rectangle with its hatch, where there is room for one."""
    rect = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.6):.1f}" height="{max(height, 0.6):.1f}" '
        f'fill="{look.light}" fill-opacity="{opacity}" stroke="{look.light}" stroke-width=".7"/>'
    )
    lines = hatch(x, y, width, height, look.hatch)
    return f'{rect}<path class="hatch" d="{lines}"/>' if lines else rect


def hatch(x: float, y: float, width: float, height: float, pattern: str, gap: float = HATCH_GAP) -> str:
    """A path of the pattern within a rectangle; empty where it is too small. (SVG's own patterns would need ids.)"""
    if pattern == " " or width < 6 or height < 6 or width * height > 4e5:
        return ""
    parts: list[str] = []
    if pattern in "/x`":
        parts += _slanted(x, y, width, height, gap, rising=True)
    if pattern in "\\xv":
        parts += _slanted(x, y, width, height, gap, rising=False)
    if pattern in "|+":
        parts += [f"M{x + at:.1f} {y:.1f}v{height:.1f}" for at in _every(width, gap)]
    if pattern in "-+":
        parts += [f"M{x:.1f} {y + at:.1f}h{width:.1f}" for at in _every(height, gap)]
    if pattern in ".o":
        size = 0 if pattern == "." else 2
        parts += [
            f"M{x + a:.1f} {y + b:.1f}h{size}" for b in _every(height, gap * 0.7) for a in _every(width, gap * 0.7)
        ]
    return "".join(parts)


def _every(length: float, gap: float) -> Sequence[float]:
    return [gap / 2 + number * gap for number in range(int((length - gap / 2) / gap) + 1) if gap / 2 < length]


def _slanted(x: float, y: float, width: float, height: float, gap: float, rising: bool) -> list[str]:
    """Lines of 45 degrees, clipped to the rectangle."""
    parts = []
    for number in range(1, int((width + height) / gap) + 1):
        total = number * gap
        low, high = max(0.0, total - height), min(width, total)
        if high <= low:
            continue
        if rising:
            parts.append(f"M{x + low:.1f} {y + total - low:.1f}L{x + high:.1f} {y + total - high:.1f}")
        else:
            parts.append(
                f"M{x + low:.1f} {y + height - total + low:.1f}L{x + high:.1f} {y + height - total + high:.1f}"
            )
    return parts
