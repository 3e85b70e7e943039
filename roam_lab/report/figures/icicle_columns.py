"""The icicle as bokeh columns, and what `icicle.js` needs to make the same columns for any step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roam_lab.report.figures.theme import plain
from roam_lab.report.units import bytes_text
from roam_lab.report.views.icicle import THINNEST, Box, IcicleView
from roam_lab.report.views.look import KINDS, ink_on, kind_looks, pale

NAMES = "level node storage left right bottom top x upper lower label bytes kind what fill ink line thick"
GAP = 0.06
"""Gap below a box, of a level that is 1 high."""
PLAIN, EDGE, DARK, CHOSEN, FOUND = "#e6e6e6", "#ffffff", "#111111", "#111111", "#d7263d"
LETTER, SMALL_LETTER, MARGIN = 7, 6.5, 6
"""Pixels of a letter of each line, and of the margin beside a box's text."""

WORDS = ("x", "top", "upper", "lower", "ink")
"""The columns that text in boxes needs."""


def alive_data(view: IcicleView) -> dict[str, Any]:
    """What `icicle.js` needs beside the columns of the storages: plain JSON data."""
    codes = list(dict.fromkeys(view.tensors.kind))
    looks = kind_looks(codes)
    return {
        "steps": len(view.tensors.order),
        "patterns": [plain(name) for name in view.patterns],
        "pattern": view.pattern.tolist(),
        "op": [plain(group.op) for group in view.groups],
        "kinds": [plain(kind) for kind in codes],
        "rank": [list(looks).index(kind) for kind in codes],
        "fill": [looks[kind].light for kind in codes],
        "pale": [pale(looks[kind]) for kind in codes],
        "ink": [ink_on(looks[kind].light) for kind in codes],
        "thinnest": THINNEST,
        "gap": GAP,
        "plain": PLAIN,
        "edge": EDGE,
        "dark": DARK,
        "chosen": CHOSEN,
        "found": FOUND,
    }


def icicle_columns(
    view: IcicleView, width: float, picked: int = -1, boxes: Sequence[Box] | None = None
) -> dict[str, list[Any]]:
    """`boxes`, or those at the view's own step, in a plot of `width` pixels; storage `picked` is outlined."""
    names = NAMES.split()
    columns: dict[str, list[Any]] = {name: [] for name in names}
    looks = kind_looks(view.tensors.kind)
    for box in view.boxes if boxes is None else boxes:
        pixels = (box.right - box.left) * width
        size, look = bytes_text(box.bytes), looks.get(box.kind, KINDS["unknown"])
        chosen = box.level == 3 and box.storage == picked >= 0 and box.count == 1
        label = plain(box.label)
        row = (
            box.level,
            box.node,
            box.storage,
            box.left,
            box.right,
            -box.level - 1 + GAP,
            -box.level,
            box.left,
            _cut(label, pixels, box.level == 1),
            "" if box.level == 0 or len(size) * SMALL_LETTER + MARGIN > pixels else size,
            label,
            box.bytes,
            plain(box.kind) if box.count else "",
            f"{box.count:,} storage{'' if box.count == 1 else 's'}, {size}",
            PLAIN if box.level == 0 else pale(look) if box.level == 1 else look.light,
            DARK if box.level < 2 else ink_on(look.light),
            CHOSEN if chosen else EDGE,
            3 if chosen else 0.6,
        )
        for name, one in zip(names, row, strict=True):
            columns[name].append(one)
    return columns


def _cut(text: str, pixels: float, path: bool) -> str:
    """`text` cut to what fits: a path at its beginning, anything else at its end; "" where only a few letters fit."""
    limit = int((pixels - MARGIN) // LETTER)
    if len(text) <= limit:
        return text
    if limit < 6:
        return ""
    return "…" + text[len(text) - limit + 1 :] if path else text[: limit - 1] + "…"


def word_columns(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The rows of `icicle_columns` with text in their boxes. Most boxes are too narrow for text, and bokeh takes as
    long to lay out an empty text as a full one."""
    rows = [row for row, words in enumerate(zip(columns["upper"], columns["lower"], strict=True)) if any(words)]
    return {name: [columns[name][row] for row in rows] for name in WORDS}
