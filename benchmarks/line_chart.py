"""A line chart with logarithmic axes as one SVG document, for the pages under docs/."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from roam_lab.report.safe_text import xml_text

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 44, 52
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f", "#332288", "#117733", "#882255")
DASHES = ("none", "7 4", "2 4", "9 3 2 3")
STYLE = """
.chart{font:12px system-ui,sans-serif}.chart .paper{fill:#fff}.chart text{fill:#222}
.chart .head{font-size:15px;font-weight:600}.chart .axis{stroke:#555;fill:none}.chart .grid{stroke:#ddd;fill:none}
@media (prefers-color-scheme:dark){.chart .paper{fill:#1b1b1b}.chart text{fill:#eee}
.chart .axis{stroke:#aaa}.chart .grid{stroke:#3a3a3a}}
""".strip()
Points = Sequence[tuple[float, float]]


def line_chart(
    title: str, x_label: str, y_label: str, lines: Mapping[str, Points], x_ticks: Sequence[float] = ()
) -> str:
    """Each line by its name, its points (x, y) both above 0. `x_ticks`: where the x axis is named (none: tens)."""
    points = [point for line in lines.values() for point in line]
    x, y = _Axis([p[0] for p in points], LEFT, WIDTH - RIGHT), _Axis([p[1] for p in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" style="max-width:100%;height:auto" aria-label="{xml_text(title)}">',
        f"<title>{xml_text(title)}</title><style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="head" x="{LEFT}" y="24">{xml_text(title)}</text>',
    ]
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in x_ticks or x.tens():
        at = x.place(value)
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{value:,g}</text>')
    for value in y.tens():
        at = y.place(value)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:,g}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{xml_text(x_label)}</text>'
    )
    parts.append(
        f'<text transform="translate(18 {middle:.0f}) rotate(-90)" text-anchor="middle">{xml_text(y_label)}</text>'
    )
    for number, (name, line) in enumerate(lines.items()):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        style = f'stroke="{colour}" fill="none" stroke-width="1.8" stroke-dasharray="{dash}"'
        places = [(x.place(across), y.place(up)) for across, up in sorted(line)]
        parts.append(f'<path {style} d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in places)}"/>')
        parts += [f'<circle fill="{colour}" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>' for a, b in places]
        legend = TOP + 10 + 20 * number
        parts.append(f'<path {style} d="M{right + 14} {legend}h26"/>')
        parts.append(f'<text x="{right + 46}" y="{legend + 4}">{xml_text(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


class _Axis:
    """A logarithmic axis from whole power of ten to whole power of ten, drawn from `begin` to `end` pixels."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        self.begin, self.end = begin, end
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)

    def place(self, value: float) -> float:
        """The pixel of `value`."""
        return self.begin + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.begin)

    def tens(self) -> list[float]:
        """The powers of ten on the axis."""
        return [10.0**power for power in range(self.low, self.high + 1)]
