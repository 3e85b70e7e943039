"""The folded graph as bokeh columns, and the module tree as data from which `fold.js` makes the same columns."""

from __future__ import annotations

from typing import Any

from roam_lab.report.figures.theme import Ink, plain
from roam_lab.report.units import bytes_text
from roam_lab.report.views.folding import MOST_CELLS
from roam_lab.report.views.graph import (
    BAND,
    BRACKET,
    COLUMNS,
    FLOW,
    HALF,
    KEEPS,
    MOST_BANDS,
    STEPS,
    THINNEST,
    TURN,
    GraphView,
    sub,
)
from roam_lab.report.views.look import PEAK
from roam_lab.report.views.look import PHASES as LOOKS
from roam_lab.report.views.places import PHASES
from roam_lab.report.views.table import short

LETTER, SMALL_LETTER = 6.2, 5.1
"""Approximate width in pixels of a letter in the first and in the second line of a cell."""
LETTERS = (17, 17, 12, 6)
"""Letters that fit into a cell of each phase, and beside a row of an open module, in the narrowest figure."""
SMALLER = (20, 20, 14)
"""Letters of the second line that fit there; where it is longer, the saved bytes move to a third line."""
UPPER, LOWER = (0.12, 0.24), (0.17, 0.15)
"""Distance of the first line and of the others from the middle of a cell, for one and for two others."""
HINTS = ("click to open it", "click to select its largest storage")

Columns = dict[str, dict[str, list[Any]]]


def tree_data(view: GraphView, ink: Ink) -> dict[str, Any]:
    """What `fold.js` needs to fold, lay out and colour: plain JSON data."""
    tree = view.tree
    return {
        "parent": [node.parent for node in tree.nodes],
        "children": [list(node.children) for node in tree.nodes],
        "label": [plain(node.label) for node in tree.nodes],
        "sub": [[sub(tree, number, phase) for phase in range(3)] for number in range(len(tree.nodes))],
        "ops": [list(node.ops) for node in tree.nodes],
        "largest": [list(node.largest) for node in tree.nodes],
        "kept": [[k.from_leaf, k.from_phase, k.to_leaf, k.to_phase, k.bytes, k.largest] for k in tree.kept],
        "cell_of": tree.cell_of_storage.tolist(),
        "peak": None if tree.peak is None else list(tree.peak),
        "peak_text": peak_text(view),
        "phases": list(PHASES),
        "columns": [list(column) for column in COLUMNS],
        "most_cells": MOST_CELLS,
        "most_bands": MOST_BANDS,
        "band": BAND,
        "thinnest": THINNEST,
        "steps": STEPS,
        "half": HALF,
        "turn": TURN,
        "flow": FLOW,
        "bracket": BRACKET,
        "letters": list(LETTERS),
        "smaller": list(SMALLER),
        "letter": LETTER,
        "small_letter": SMALL_LETTER,
        "keeps": KEEPS,
        "upper": list(UPPER),
        "lower": list(LOWER),
        "hints": list(HINTS),
        "fill": [ink.of(LOOKS[phase]) for phase in PHASES],
        "hatch": [LOOKS[phase].hatch for phase in PHASES],
        "ink": ink.text,
        "peak_line": ink.of(PEAK),
    }


def peak_text(view: GraphView) -> str:
    """The label of the cell in which the peak lies."""
    return f"▲ planned peak {bytes_text(view.peak_bytes)}"


def graph_columns(view: GraphView, ink: Ink, storage: int = -1) -> Columns:
    """Columns of cells, bands, brackets and flow; the cell that creates `storage` is marked."""
    return {
        "cells": _cells(view, ink, storage),
        "bands": _bands(view, ink),
        "brackets": _brackets(view),
        "flow": {
            "xs": [list(flow.x) for flow in view.flows],
            "ys": [list(flow.y) for flow in view.flows],
            "x": [flow.x[-1] for flow in view.flows],
            "y": [flow.y[-1] for flow in view.flows],
            "marker": ["triangle" if flow.up else "inverted_triangle" for flow in view.flows],
        },
    }


def _cells(view: GraphView, ink: Ink, storage: int) -> dict[str, list[Any]]:
    place = int(view.tree.cell_of_storage[storage]) if storage >= 0 else -1
    picked = (view.row_of(place // 3), place % 3) if place >= 0 else None
    names = "node storage label short sub left right middle bottom top upper lower fill hatch line width mark hint"
    columns: dict[str, list[Any]] = {name: [] for name in names.split()}
    for cell in view.cells:
        left, right = COLUMNS[cell.phase]
        look = LOOKS[PHASES[cell.phase]]
        folds = bool(view.tree.nodes[cell.node].children)
        two = len(cell.sub) > SMALLER[cell.phase] and KEEPS in cell.sub
        mine = picked == (cell.row, cell.phase)
        text = plain(cell.label)
        row = (
            cell.node,
            cell.storage,
            text,
            ("+ " if folds else "") + short(text, LETTERS[cell.phase]),
            cell.sub.replace(KEEPS, "\n" + KEEPS.lstrip()[2:]) if two else cell.sub,
            left,
            right,
            (left + right) / 2,
            -cell.row - HALF,
            -cell.row + HALF,
            -cell.row + UPPER[two],
            -cell.row - LOWER[two],
            ink.of(look),
            look.hatch,
            ink.text if mine else ink.of(PEAK) if cell.peak else ink.of(look),
            4 if mine else 3 if cell.peak else 1,
            peak_text(view) if cell.peak else "",
            HINTS[0] if folds else HINTS[1],
        )
        for name, one in zip(columns, row, strict=True):
            columns[name].append(one)
    return columns


def _bands(view: GraphView, ink: Ink) -> dict[str, list[Any]]:
    return {
        "xs": [list(band.x) for band in view.bands],
        "ys": [list(band.y) for band in view.bands],
        "text": [plain(band.text) for band in view.bands],
        "bytes": [band.bytes for band in view.bands],
        "storage": [band.storage for band in view.bands],
        "fill": [ink.of(LOOKS[PHASES[band.phase]]) for band in view.bands],
    }


def _brackets(view: GraphView) -> dict[str, list[Any]]:
    bars = view.brackets
    texts = [plain(bar.label) for bar in bars]
    room = [(bar.last - bar.first + 1) * LETTERS[3] for bar in bars]
    return {
        "node": [bar.node for bar in bars],
        "left": [-BRACKET * (bar.level + 1) for bar in bars],
        "right": [-BRACKET * (bar.level + 0.12) for bar in bars],
        "middle": [-BRACKET * (bar.level + 0.56) for bar in bars],
        "top": [-bar.first + HALF for bar in bars],
        "bottom": [-bar.last - HALF for bar in bars],
        "centre": [-(bar.first + bar.last) / 2 for bar in bars],
        "label": texts,
        "short": [f"– {short(text, limit)}" for text, limit in zip(texts, room, strict=True)],
    }
