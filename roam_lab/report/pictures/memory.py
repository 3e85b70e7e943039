"""Memory over time as SVG: the stack by kind, every curve with its peak, the bound."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from roam_lab.report.pictures.canvas import SMALL_FONT, WIDTH, Frame, Picture, beside, cut, document, hatch, text
from roam_lab.report.units import bytes_text
from roam_lab.report.views.curves import Curve
from roam_lab.report.views.look import RESIDENT, ROLES, Look, kind_looks
from roam_lab.report.views.memory import MemoryView

PLOT_HEIGHT = 260
LINE = 18
STACK_CELLS = 380


def memory_picture(view: MemoryView) -> Picture:
    """One SVG document of `view`."""
    unit_name, unit = view.unit
    legend = _legend(view)
    top = 44 + LINE * ((len(legend) + 1) // 2)
    frame = Frame(top, top + PLOT_HEIGHT, view.axis.end, view.end_bytes / unit)
    parts = frame.axes(view.axis.label, f"{view.counted}, {unit_name}", view.axis.ticks(8))
    parts += _phases(view, frame)
    parts += _stack(view, frame, unit)
    for curve in view.curves:
        parts += _curve(view, curve, frame, unit)
    labels = view.labels(frame.right - frame.left, PLOT_HEIGHT, SMALL_FONT)
    parts += [beside(label, frame, SMALL_FONT, "small") for label in labels]
    if view.bound_bytes is not None:
        y = frame.y((view.bound_bytes + view.base_bytes) / unit)
        dash = " ".join(map(str, ROLES["bound"].dash))
        parts.append(f'<path class="line bound" stroke-dasharray="{dash}" d="M{frame.left} {y:.1f}H{frame.right}"/>')
    for number, (swatch, words) in enumerate(legend):
        x, y = 16 + number % 2 * (WIDTH // 2), 46 + number // 2 * LINE
        parts += [swatch.format(x=x, y=y), text(x + 42, y + 4, cut(words, 64))]
    return document(view, frame.bottom + 50, parts)


def _phases(view: MemoryView, frame: Frame) -> list[str]:
    """A pale band for each phase, its name at the top where there is room."""
    parts = []
    for band in view.phases:
        left, right = frame.x(band.left), frame.x(band.right)
        parts.append(
            f'<rect class="{band.main}-fill" fill-opacity=".07" x="{left:.1f}" y="{frame.top:.1f}" '
            f'width="{right - left:.1f}" height="{frame.bottom - frame.top:.1f}"/>'
        )
        if right - left > 7 * len(band.phase):
            parts.append(text((left + right) / 2, frame.top + 12, band.phase, "mid", "small"))
    return parts


def _legend(view: MemoryView) -> list[tuple[str, str]]:
    """(a swatch with its place left open, words): curves first, then the bound, then the stack's kinds."""
    legend = [
        (_stroke(curve.role), f"{curve.label}: peak {bytes_text(curve.peak_bytes)} ({curve.basis})")
        for curve in view.curves
    ]
    if view.bound_bytes is not None:
        legend.append((_stroke("bound"), f"proven lower bound of any order: {bytes_text(view.bound_bytes)}"))
    looks = kind_looks(layer.kind for layer in view.stack)
    for layer in view.stack:
        words = f"{view.stacked}: {layer.kind}, at most {bytes_text(layer.peak_bytes)}"
        legend.append((_patch(looks[layer.kind]), words))
    if view.base_bytes:
        legend.append((_patch(RESIDENT), f"resident: {bytes_text(view.base_bytes)}"))
    return legend


def _stroke(role: str) -> str:
    dash = " ".join(map(str, ROLES[role].dash))
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path class="line {role}"{dashes} d="M{{x}} {{y}}h34"/>'


def _patch(look: Look) -> str:
    lines = hatch(0, 0, 34, 12, look.hatch)
    return (
        f'<g transform="translate({{x}} {{y}})"><g transform="translate(0 -6)"><rect width="34" height="12" '
        f'fill="{look.light}" fill-opacity=".4" stroke="{look.light}"/><path class="hatch" d="{lines}"/></g></g>'
    )


def _curve(view: MemoryView, curve: Curve, frame: Frame, unit: int) -> list[str]:
    if not len(curve.x):
        return []
    heights = (curve.size_bytes + view.base_bytes) / unit
    dash = " ".join(map(str, ROLES[curve.role].dash))
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    points = "".join(_steps(frame, curve.x, heights))
    x, y = frame.x(curve.peak_at), frame.y((curve.peak_bytes + view.base_bytes) / unit)
    return [
        f'<path class="line {curve.role}"{dashes} d="{points}H{frame.right}"/>',
        f'<path class="{curve.role}-fill" d="M{x:.1f} {y:.1f}l-4 -7h8z"/>',
    ]


def _steps(frame: Frame, x: NDArray[np.float64], heights: NDArray[np.float64]) -> Iterable[str]:
    """The upper edge, from left to right; values at the same tenth of a pixel count as one."""
    last = f"{frame.y(float(heights[0])):.1f}"
    yield f"M{frame.x(float(x[0])):.1f} {last}"
    for at, height in zip(x[1:].tolist(), heights[1:].tolist(), strict=True):
        now = f"{frame.y(height):.1f}"
        if now != last:
            yield f"H{frame.x(at):.1f}V{now}"
        last = now


def _stack(view: MemoryView, frame: Frame, unit: int) -> list[str]:
    """Stacked areas from the bottom up, each hatched by lines that end at its edges."""
    parts = []
    base = view.base_bytes / unit
    if view.base_bytes:
        y = frame.y(base)
        width, height = frame.right - frame.left, frame.bottom - y
        parts.append(
            f'<rect x="{frame.left}" y="{y:.1f}" width="{width}" height="{height:.1f}" fill="{RESIDENT.light}" '
            f'fill-opacity=".3"/><path class="hatch" d="{hatch(frame.left, y, width, height, RESIDENT.hatch, 12)}"/>'
        )
    looks = kind_looks(layer.kind for layer in view.stack)
    kept = _thinned(view)
    x = view.stack_x[kept]
    below = np.full(len(x), base)
    for layer in view.stack:
        above = below + layer.size_bytes[kept] / unit
        outline = "".join(_steps(frame, x, above)) + f"H{frame.right}"
        back = "".join(_back(frame, x, below))
        look = looks[layer.kind]
        parts.append(f'<path fill="{look.light}" fill-opacity=".38" d="{outline}{back}Z"/>')
        lines = "".join(_hatched(frame, x, below, above, look.hatch))
        if lines:
            parts.append(f'<path class="hatch" d="{lines}"/>')
        below = above
    return parts


def _thinned(view: MemoryView) -> NDArray[np.intp]:
    """Of the steps that begin within a cell of two pixels, the first and the one with the most bytes."""
    if len(view.stack_x) <= STACK_CELLS:
        return np.arange(len(view.stack_x))
    total = np.sum([layer.size_bytes for layer in view.stack], axis=0)
    cell = np.minimum(view.stack_x / view.axis.end * STACK_CELLS, STACK_CELLS - 1).astype(np.int64)
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    parts = np.split(np.arange(len(total)), first[1:])
    return np.array(sorted({int(one) for part in parts for one in (part[0], part[total[part].argmax()])}), np.intp)


def _back(frame: Frame, x: NDArray[np.float64], heights: NDArray[np.float64]) -> Iterable[str]:
    """The lower edge, from right to left."""
    last = ""
    for at, height in zip(x[::-1].tolist(), heights[::-1].tolist(), strict=True):
        now = f"{frame.y(height):.1f}"
        yield f"H{frame.x(at):.1f}" if now == last else f"V{now}H{frame.x(at):.1f}"
        last = now


def _hatched(
    frame: Frame, x: NDArray[np.float64], below: NDArray[np.float64], above: NDArray[np.float64], pattern: str
) -> Iterable[str]:
    """Upright lines for most patterns, rows of dots for dotted ones, between the layer's edges."""
    if pattern == " ":
        return
    for pixel in range(int(frame.left) + 6, int(frame.right), 7 if pattern in ".o" else 9):
        share = (pixel - frame.left) / (frame.right - frame.left) * frame.x_end
        at = max(int(np.searchsorted(x, share, "right")) - 1, 0)
        low, high = frame.y(float(below[at])), frame.y(float(above[at]))
        if low - high < 3:
            continue
        if pattern in ".o":
            first = int(high // 7 + 1) * 7
            yield "".join(f"M{pixel} {dot}h0" for dot in range(first, int(low), 7))
        else:
            yield f"M{pixel} {high:.1f}V{low:.1f}"
