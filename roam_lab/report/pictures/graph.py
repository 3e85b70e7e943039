"""The folded computation graph as SVG: forward down the left, backward up beside it, bands as high as saved bytes."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import WIDTH, Picture, cut, document, hatch, room, text
from roam_lab.report.units import bytes_text
from roam_lab.report.views.graph import BRACKET, COLUMNS, HALF, Cell, GraphView
from roam_lab.report.views.look import PHASES as LOOKS
from roam_lab.report.views.places import PHASES

ROW = 50
TOP = 100
EDGE = 16


class _Grid:
    """From the view's grid to pixels."""

    def __init__(self, view: GraphView) -> None:
        deep = max((bar.level for bar in view.brackets), default=-1) + 1
        self.start = -BRACKET * deep
        self.scale = (WIDTH - 2 * EDGE) / (COLUMNS[2][1] - self.start)

    def x(self, value: float) -> float:
        return EDGE + (value - self.start) * self.scale

    def y(self, value: float) -> float:
        return TOP - value * ROW


def graph_picture(view: GraphView) -> Picture:
    """One SVG document of what `view` has open."""
    grid = _Grid(view)
    parts = []
    for phase, words in enumerate(("forward ↓", "backward ↑", "update")):
        parts.append(text(grid.x(sum(COLUMNS[phase]) / 2), TOP - 44, words, "mid", "bold"))
    for flow in view.flows:
        points = "L".join(f"{grid.x(x):.1f} {grid.y(y):.1f}" for x, y in zip(flow.x, flow.y, strict=True))
        tip = f"M{grid.x(flow.x[-1]):.1f} {grid.y(flow.y[-1]):.1f}"
        parts.append(f'<path class="axis" d="M{points}"/>')
        parts.append(f'<path class="head-of-arrow" d="{tip}l-3.5 {6 if flow.up else -6}h7z"/>')
    for band in view.bands:
        name = PHASES[band.phase]
        points = "L".join(f"{grid.x(x):.1f} {grid.y(y):.1f}" for x, y in zip(band.x, band.y, strict=True))
        parts.append(f'<path class="band {name} {name}-fill" d="M{points}Z"/>')
    for cell in view.cells:
        parts += _cell(cell, grid, view)
    for bar in view.brackets:
        left, right = grid.x(-BRACKET * (bar.level + 1)), grid.x(-BRACKET * (bar.level + 0.12))
        top, bottom = grid.y(-bar.first + HALF), grid.y(-bar.last - HALF)
        parts.append(
            f'<rect class="axis" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
        )
        turned = f' transform="translate({(left + right) / 2 + 4:.1f} {(top + bottom) / 2:.1f}) rotate(-90)"'
        parts.append(text(0, 0, cut(bar.label, room(bottom - top)), "mid", "small", more=turned))
    caption = (
        f"Bands: bytes that a phase keeps for a later one (forward for backward {bytes_text(view.kept_bytes(0, 1))}, "
        f"backward for update {bytes_text(view.kept_bytes(1, 2))}), predicted"
    )
    foot = grid.y(-len(view.rows)) + 14
    lines = [caption, *([view.rewritten] if view.rewritten else [])]
    parts += [text(EDGE, foot + 14 * number, line, "small") for number, line in enumerate(lines)]
    return document(view, foot + 2 + 14 * len(lines), parts)


def _cell(cell: Cell, grid: _Grid, view: GraphView) -> list[str]:
    left, right = (grid.x(edge) for edge in COLUMNS[cell.phase])
    top, height = grid.y(-cell.row + HALF), 2 * HALF * ROW
    name = PHASES[cell.phase]
    lines = hatch(left, top, right - left, height, LOOKS[name].hatch, 8)
    middle = (left + right) / 2
    peak = "peak" if cell.peak else name
    parts = [
        f'<rect class="paper" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{height:.1f}"/>',
        f'<rect class="{name}-fill {peak} faint" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{height:.1f}" stroke-width="{3 if cell.peak else 1}"/>',
        f'<path class="{name}" stroke-opacity=".22" fill="none" stroke-linecap="round" d="{lines}"/>',
        text(middle, top + 15, cut(cell.label, room(right - left)), "mid"),
        text(middle, top + 29, cut(cell.sub, room(right - left) + 6), "mid", "small"),
    ]
    if cell.peak:
        parts.append(text(right, top - 3, f"▲ planned peak {bytes_text(view.peak_bytes)}", "end", "small"))
    return parts
