"""Small pictures for 04_planners_explained: graphs, live bytes step by step, hills and valleys. SVG, no script."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape

from roam_lab.ir import Graph, live_curve
from roam_lab.order.dominance.profile import Job, moments

INK, PALE, BLUE, ORANGE = "#222", "#e8eef5", "#0072B2", "#D55E00"  # the last two: Okabe-Ito


class Picture:
    """An SVG; its words are its title for screen readers and its text where no picture can be shown."""

    def __init__(self, words: str, width: float, height: float, parts: Sequence[str]) -> None:
        self.words = words
        self.svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(words)}" width="{width:.0f}" '
            f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" font-family="system-ui, sans-serif" '
            f'font-size="12" style="max-width:100%;height:auto"><rect width="100%" height="100%" fill="#fff"/>'
            f"{''.join(parts)}</svg>"
        )

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return self.svg


def text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}" {more}>{escape(words)}</text>'


def graph_picture(graph: Graph, marked: Collection[int] = ()) -> Picture:
    """Ops from left to right by depth, with the bytes that each creates; `marked` ones in orange with a thick edge."""
    depth: list[int] = []
    for op in graph.ops:
        depth.append(1 + max((depth[before] for before in op.after), default=-1))
    rows = [[op for op, level in enumerate(depth) if level == column] for column in range(max(depth) + 1)]
    tallest = max(map(len, rows))
    place = {
        op: (12 + 118 * column, 14 + 56 * (row + (tallest - len(ops)) / 2))
        for column, ops in enumerate(rows)
        for row, op in enumerate(ops)
    }
    parts = []
    for number, op in enumerate(graph.ops):
        x, y = place[number]
        for before in op.after:
            fx, fy = place[before]
            span = depth[number] - depth[before]
            if span == 1:
                curve = f"M{fx + 92} {fy + 20}C{fx + 112} {fy + 20} {x - 20} {y + 20} {x - 5} {y + 20}"
            else:  # around the ops between
                dip = 20 + 8 * span
                curve = f"M{fx + 60} {fy + 40}C{fx + 100} {fy + 40 + dip} {x - 70} {y + 20 + dip} {x - 5} {y + 24}"
            parts.append(f'<path d="{curve}" fill="none" stroke="#777"/>')
            tip = y + (20 if span == 1 else 24)
            parts.append(f'<path d="M{x} {tip}l-7 -3.5v7z" fill="#777"/>')
    for number, op in enumerate(graph.ops):
        x, y = place[number]
        made = sum(graph.storages[storage].bytes for storage in op.creates)
        edge = f'stroke="{ORANGE}" stroke-width="2.5"' if number in marked else f'stroke="{INK}"'
        parts += [
            f'<rect x="{x}" y="{y}" width="92" height="40" rx="6" fill="{PALE}" {edge}/>',
            text(x + 46, y + 17, op.name, "middle", 'font-weight="600"'),
            text(x + 46, y + 33, f"creates {made}" if made else "creates nothing", "middle", 'font-size="11"'),
        ]
    words = f"{graph.name}: " + "; ".join(
        f"{op.name} after {', '.join(graph.ops[before].name for before in op.after) or 'nothing'}" for op in graph.ops
    )
    return Picture(words, 24 + 118 * len(rows), 16 + 56 * tallest, parts)


def steps_picture(graph: Graph, orders: Mapping[str, Sequence[int]]) -> Picture:
    """Live bytes while each op runs, a row of bars for each order, its peak in orange."""
    curves = {name: live_curve(graph, tuple(order)).tolist() for name, order in orders.items()}
    most = max(max(curve) for curve in curves.values())
    wide = min(92.0, 820 / len(graph.ops))
    parts, top, words = [], 0.0, []
    for name, curve in curves.items():
        peak = max(curve)
        parts.append(text(12, top + 18, f"{name}: peak {peak}", more='font-weight="600"'))
        for step, (op, held) in enumerate(zip(orders[name], curve, strict=True)):
            x, tall = 12 + wide * step, 90 * held / most
            colour = ORANGE if held == peak else BLUE
            parts += [
                f'<rect x="{x:.1f}" y="{top + 128 - tall:.1f}" width="{wide - 6:.1f}" height="{tall:.1f}" '
                f'fill="{colour}"/>',
                text(x + wide / 2 - 3, top + 124 - tall, str(held), "middle", 'font-size="11"'),
                text(x + wide / 2 - 3, top + 143, graph.ops[op].name, "middle", 'font-size="11"'),
            ]
        top += 158
        words.append(f"{name}, peak {peak}: " + ", ".join(map(str, curve)))
    return Picture(f"{graph.name}, live bytes. " + "; ".join(words), 24 + wide * len(graph.ops), top, parts)


def profile_picture(chains: Mapping[str, Sequence[Job]]) -> Picture:
    """Chains of jobs as steps: level before, hill during and level after each job, from 0; peaks told."""
    levels = {name: moments(chain) for name, chain in chains.items()}
    high = max(max(found) for found in levels.values())
    low = min(min(found) for found in levels.values())
    wide = min(30.0, 380 / max(map(len, levels.values())))
    parts, words = [], []
    for number, (name, found) in enumerate(levels.items()):
        left, top = 12 + 430 * (number % 2), 190 * (number // 2)

        def y(level: float, top: float = top) -> float:
            return top + 40 + 120 * (high - level) / ((high - low) or 1)

        path = "".join(
            f"{'M' if step == 0 else 'L'}{left + wide * step:.1f} {y(level):.1f}h{wide:.1f}"
            for step, level in enumerate(found)
        )
        parts += [
            text(left, top + 18, f"{name}: peak {max(found)}, ends at {found[-1]}", more='font-weight="600"'),
            f'<path d="M{left} {y(0):.1f}h{wide * len(found):.1f}" stroke="#999" stroke-dasharray="3 3"/>',
            f'<path d="{path}" fill="none" stroke="{BLUE}" stroke-width="2"/>',
        ]
        for step, level in enumerate(found):
            hill = step % 2 == 1
            parts.append(
                text(left + wide * (step + 0.5), y(level) + (-5 if hill else 14), str(level), "middle",
                     f'font-size="10" fill-opacity="{1 if hill else 0.75}"')
            )  # fmt: skip
        words.append(f"{name}: {', '.join(map(str, found))}")
    return Picture("bytes above the start. " + "; ".join(words), 872 if len(levels) > 1 else 440,
                   190 * ((len(levels) + 1) // 2), parts)  # fmt: skip
