"""Memory over time as one SVG picture: pure functions, standard library and numpy only.

Colours are Okabe and Ito's, told apart by dashes, too. The picture brings its own background, light or dark as
the viewer prefers, so it can be read on any page; nothing in it needs an id, so several fit into one page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Graph, captured_order, live_curve
from roam_lab.report.legal import xml_text
from roam_lab.report.rows import eager_graph, graph_of
from roam_lab.report.units import bytes_text, unit_for

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile

WIDTH, HEIGHT = 860, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 22, 104, 52
COLUMNS = WIDTH - LEFT - RIGHT
"""One bucket a pixel: of a longer curve each bucket keeps its least and its greatest value."""

STYLE = """
.roam-svg{font:12px system-ui,sans-serif}
.roam-svg .paper{fill:#fff}.roam-svg text{fill:#222}.roam-svg .head{font-size:15px;font-weight:600}
.roam-svg .axis{stroke:#555;fill:none}.roam-svg .grid{stroke:#ddd;fill:none}
.roam-svg .line{fill:none;stroke-width:1.6;stroke-linejoin:round}.roam-svg .area{stroke:none;opacity:.22}
.roam-svg .captured{stroke:#d55e00}.roam-svg .planned{stroke:#0072b2}
.roam-svg .bound{stroke:#009e73}.roam-svg .measured{stroke:#cc79a7}
.roam-svg .captured.dot{fill:#d55e00}.roam-svg .planned.dot,.roam-svg .planned.area{fill:#0072b2}
.roam-svg .measured.dot{fill:#cc79a7}
@media (prefers-color-scheme:dark){
.roam-svg .paper{fill:#1b1b1b}.roam-svg text{fill:#eee}.roam-svg .axis{stroke:#aaa}.roam-svg .grid{stroke:#3a3a3a}
.roam-svg .planned{stroke:#56b4e9}.roam-svg .planned.dot,.roam-svg .planned.area{fill:#56b4e9}
.roam-svg .captured{stroke:#e69f00}.roam-svg .captured.dot{fill:#e69f00}}
""".strip()
DASHES = {"captured": "7 4", "planned": "", "bound": "2 4", "measured": "9 3 2 3"}


@dataclass(frozen=True, slots=True)
class Curve:
    """Live bytes over the operators of one run. `role` (captured, planned, measured) sets colour and dashes.

    `progress`: the share of the step done at each value, from 0 to 1 and never falling; None: evenly spaced.
    """

    role: str
    label: str
    live_bytes: NDArray[np.int64]
    progress: NDArray[np.float64] | None = None

    @property
    def peak_bytes(self) -> int:
        """The highest point, 0 of an empty curve."""
        return int(self.live_bytes.max(initial=0))

    def share(self, index: int) -> float:
        """How much of the step is done at value `index`, from 0 to 1."""
        if self.progress is not None:
            return float(self.progress[index])
        return index / max(len(self.live_bytes) - 1, 1)


def plan_svg(plan: Plan, profile: Profile | None = None) -> str:
    """The captured and the planned order of `plan`, its bound and, with a profile, what eager was measured to take.

    Raises InputError for a bare plan: without its graph there is no curve to draw.
    """
    graph = graph_of(plan)
    planned = Curve("planned", f"planned order ({plan.order_strategy})", live_curve(graph, plan.order))
    eager = [_captured(graph, "captured order")]
    if profile is not None:
        eager = [_captured(eager_graph(profile)), *_measured(profile)]
    return memory_svg(graph.name or "training step", [eager[0], planned, *eager[1:]], plan.lower_bound_bytes)


def profile_svg(profile: Profile) -> str:
    """The captured order's live bytes and, where one was measured, the eager step's."""
    return memory_svg(profile.graph.name or "training step", [_captured(eager_graph(profile)), *_measured(profile)])


def _captured(graph: Graph, label: str = "captured order (eager)") -> Curve:
    return Curve("captured", label, live_curve(graph, captured_order(graph)))


def _measured(profile: Profile) -> list[Curve]:
    """The measured curve, its operators lined up with the graph's: those that are no op of it, such as views, take
    no width."""
    measured = profile.measured
    if measured is None or not measured.live_bytes:
        return []
    targets = {op.target for op in eager_graph(profile).ops}
    met = np.cumsum([label in targets for label in measured.labels])
    progress = np.maximum(met - 1, 0) / (met[-1] - 1) if met[-1] > 1 else None
    values = np.array(measured.live_bytes, dtype=np.int64)
    return [Curve("measured", f"measured eager ({measured.device})", values, progress)]


def memory_svg(name: str, curves: Sequence[Curve], bound_bytes: int | None = None) -> str:
    """One SVG document: each curve with its peak marked, the bound as a line; under 200 kB whatever the length.

    Each curve takes the whole width; where they are of different lengths the axis counts per cent.
    """
    steps = {len(curve.live_bytes) for curve in curves if curve.progress is None}
    scale = _Scale(
        top=max([curve.peak_bytes for curve in curves] + [bound_bytes or 0, 1]),
        steps=steps.pop() if len(steps) == 1 else None,
    )
    told = [f"{curve.label}: peak {bytes_text(curve.peak_bytes)}" for curve in curves]
    if bound_bytes is not None:
        told.append(f"proven lower bound of any order: {bytes_text(bound_bytes)}")
    title = f"Memory over one training step of {name}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="roam-svg" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" style="max-width:100%;height:auto" aria-label="{xml_text(title)}">',
        f"<title>{xml_text(title)}</title>",
        f"<desc>{xml_text('; '.join(told))}. Resident bytes (parameters, state, batch) are not counted.</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="head" x="{LEFT}" y="24">{xml_text(_short(title))}</text>',
        *_axes(scale),
    ]
    for curve in curves:
        parts += _draw(curve, scale)
    if bound_bytes is not None:
        y = scale.y(bound_bytes)
        parts.append(f'<path class="line bound" stroke-dasharray="{DASHES["bound"]}" d="M{LEFT} {y:.1f}h{COLUMNS}"/>')
    parts += _legend([curve.role for curve in curves] + ["bound"] * (bound_bytes is not None), told)
    return "\n".join([*parts, "</svg>\n"])


@dataclass(frozen=True, slots=True)
class _Scale:
    top: int
    steps: int | None

    def x(self, share: float) -> float:
        return LEFT + share * COLUMNS

    def y(self, size: float) -> float:
        return HEIGHT - BOTTOM - size / (self.top * 1.06) * (HEIGHT - TOP - BOTTOM)


def _short(text: str, limit: int = 96) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _ticks(top: float, wanted: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) from 0 to at most `top`, about `wanted` of them."""
    raw = max(top, 1e-9) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [step * number for number in range(int(top / step + 1e-9) + 1)]


def _axes(scale: _Scale) -> list[str]:
    unit_name, unit = unit_for(scale.top)
    parts: list[str] = []
    for value in _ticks(scale.top / unit, 5):
        y = scale.y(value * unit)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}h{COLUMNS}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>')
    bottom = HEIGHT - BOTTOM
    parts.append(f'<path class="axis" d="M{LEFT} {TOP - 6}V{bottom}H{WIDTH - RIGHT}"/>')
    last = 100 if scale.steps is None else max(scale.steps - 1, 1)
    for value in _ticks(last, 8):
        x = scale.x(value / last)
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v5"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:,g}</text>')
    label = "share of the step's operators run, %" if scale.steps is None else "step (operators run)"
    middle = (TOP + bottom) / 2
    parts.append(f'<text x="{LEFT + COLUMNS / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{xml_text(label)}</text>')
    parts.append(
        f'<text transform="translate(18 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"live bytes above resident, {unit_name}</text>"
    )
    return parts


def _sampled(curve: Curve) -> list[tuple[float, int]]:
    """(share of the step, bytes): every value of a short curve, each pixel's least and greatest of a long one."""
    values = curve.live_bytes
    kept: Iterable[int] = range(len(values))
    if len(values) > 2 * COLUMNS:
        chunks = np.array_split(np.arange(len(values)), COLUMNS)
        kept = sorted({int(chunk[at]) for chunk in chunks for at in (values[chunk].argmin(), values[chunk].argmax())})
    return [(curve.share(index), int(values[index])) for index in kept]


def _draw(curve: Curve, scale: _Scale) -> list[str]:
    points = _sampled(curve)
    if not points:
        return []
    path = f"M{LEFT} {scale.y(points[0][1]):.1f}" + "".join(
        f"H{scale.x(share):.1f}V{scale.y(value):.1f}" for share, value in points[1:]
    )
    parts: list[str] = []
    if curve.role == "planned":
        parts.append(f'<path class="planned area" d="{path}V{scale.y(0):.1f}H{LEFT}Z"/>')
    dashes = f' stroke-dasharray="{DASHES[curve.role]}"' if DASHES[curve.role] else ""
    parts.append(f'<path class="line {curve.role}"{dashes} d="{path}"/>')
    x = scale.x(curve.share(int(curve.live_bytes.argmax())))
    parts.append(f'<circle class="{curve.role} dot" cx="{x:.1f}" cy="{scale.y(curve.peak_bytes):.1f}" r="3"/>')
    return parts


def _legend(roles: Sequence[str], told: Sequence[str]) -> list[str]:
    """Two columns above the plot: a stroke of each line, what it is and its figure."""
    parts: list[str] = []
    for number, (role, text) in enumerate(zip(roles, told, strict=True)):
        x, y = LEFT + (number % 2) * (COLUMNS // 2), 46 + (number // 2) * 20
        dashes = f' stroke-dasharray="{DASHES[role]}"' if DASHES[role] else ""
        parts.append(f'<path class="line {role}"{dashes} d="M{x} {y}h34"/>')
        parts.append(f'<text x="{x + 42}" y="{y + 4}">{xml_text(_short(text, 56))}</text>')
    return parts
