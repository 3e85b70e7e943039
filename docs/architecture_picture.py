"""Draws docs/architecture.svg, the way of a step through the rooms: `python docs/architecture_picture.py`."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, STEP, BOX_HEIGHT = 940, 96, 62
STYLE = """
text{font:13px system-ui,sans-serif;fill:#222}.small{font-size:11.5px}.bold{font-weight:600}
.paper{fill:#fff}.box{stroke:#555;stroke-width:1}.torch{fill:#fde8d7}.plain{fill:#dcecf7}.shown{fill:#e2f1e5}
.arrow{stroke:#555;fill:none;stroke-width:1.4}.head{fill:#555}.line{stroke:#999;stroke-dasharray:4 4}
@media (prefers-color-scheme:dark){text{fill:#eee}.paper{fill:#1b1b1b}.box{stroke:#aaa}.torch{fill:#5a3a1e}
.plain{fill:#1d4562}.shown{fill:#1f4d2c}.arrow{stroke:#aaa}.head{fill:#aaa}}
"""
STAGES = (
    ("user", "shown", "the user's training step", "forward, loss, backward, optimizer", "a model, optimizers, a batch"),
    ("measure", "torch", "measure/", "one real eager step", "op log, memory"),
    ("capture", "torch", "capture/", "traced on fakes, led by the log", "sources of state, writers"),
    ("ir", "plain", "ir/", "graph: ops and storages", "the one peak function, the check, files"),
    ("order", "plain", "order/", "in which sequence", "bound and proof"),
    ("rewrite", "plain", "rewrite/", "in place, fuse, recompute, offload", "extra time against memory"),
    ("layout", "plain", "layout/", "at which address", "one arena"),
    ("plan", "plain", "plan/", "order + layout + rewrites, judged", "budget, fit, .roam.json"),
    ("runtime", "torch", "runtime/", "program: out= ops into the arena", "guards, self-check, eager fallback"),
)
"""Rooms in the sequence in which a step meets them: name, class, title, and two lines."""
ASIDE = (
    ("report", "shown", "report/", "views, pictures, figures", "text, page, exports"),
    ("lab", "shown", "lab/ cli magic", "panel, commands, cells", "session, workbench"),
    ("integrations", "torch", "integrations/", "Trainer, Lightning", "distributed/: DDP, shard"),
)
"""Rooms beside them."""


def box(x: float, y: float, width: float, kind: str, title: str, *lines: str) -> str:
    """A room."""
    words = [f'<text x="{x + 12}" y="{y + 20}" class="bold">{escape(title)}</text>']
    words += [
        f'<text x="{x + 12}" y="{y + 37 + 16 * number}" class="small">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return f'<rect class="box {kind}" x="{x}" y="{y}" width="{width}" height="{BOX_HEIGHT}" rx="6"/>{"".join(words)}'


def arrow(path: str, x: float, y: float, along: str) -> str:
    """A line with its head at (x, y), pointing "down", "right" or "left"."""
    heads = {"down": "l-5 -9h10z", "right": "l-9 -5v10z", "left": "l9 -5v10z"}
    return f'<path class="arrow" d="{path}"/><path class="head" d="M{x} {y}{heads[along]}"/>'


def picture() -> str:
    """The SVG document; three columns of stages, read downwards, column by column."""
    columns, left, top, width, gap = 3, 20, 76, 270, 45
    rows = len(STAGES) // columns
    places = {
        name: (left + (number // rows) * (width + gap), top + (number % rows) * STEP)
        for number, (name, *_) in enumerate(STAGES)
    }
    parts = [box(*places[name], width, kind, title, *lines) for name, kind, title, *lines in STAGES]
    for (before, *_), (after, *_) in pairwise(STAGES):
        (x, y), (to_x, to_y) = places[before], places[after]
        if x == to_x:
            parts.append(arrow(f"M{x + 40} {y + BOX_HEIGHT}V{to_y - 8}", x + 40, to_y, "down"))
        else:
            middle = x + width + gap / 2
            way = f"M{x + width} {y + 31}H{middle}V{to_y + 31}H{to_x - 8}"
            parts.append(arrow(way, to_x, to_y + 31, "right"))
    foot = top + rows * STEP + 14
    parts.append(f'<path class="line" d="M{left} {foot - 12}H{WIDTH - left}"/>')
    parts += [
        box(left + number * (width + gap), foot + 8, width, kind, title, *lines)
        for number, (_, kind, title, *lines) in enumerate(ASIDE)
    ]
    key = foot + BOX_HEIGHT + 34
    for number, (kind, words) in enumerate(
        (("torch", "imports torch"), ("plain", "plain data, no torch"), ("shown", "what people see"))
    ):
        x = left + number * (width + gap)
        parts.append(f'<rect class="box {kind}" x="{x}" y="{key - 12}" width="18" height="14" rx="3"/>')
        parts.append(f'<text x="{x + 26}" y="{key}" class="small">{words}</text>')
    title = "The way of a training step through the rooms of roam-lab"
    height = key + 18
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
            f'height="{height:.0f}" role="img" aria-label="{title}">',
            f"<title>{title}</title><style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height:.0f}" rx="6"/>',
            f'<text x="{left}" y="34" class="bold" style="font-size:16px">{title}</text>',
            f'<text x="{left}" y="56" class="small">captured with torch, planned as plain data, '
            "then run in every step</text>",
            *parts,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_name("architecture.svg").write_text(picture())
