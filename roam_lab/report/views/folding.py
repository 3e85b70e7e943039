"""Folding: which modules of the tree are open, and which are visible then. `figures/fold.js` has the same."""

from __future__ import annotations

from collections.abc import Sequence

from roam_lab.report.views.modules import ModuleTree

MOST_CELLS = 80
"""Most visible cells, of which a module has up to three (forward, backward, update). Opening more folds what was
opened first."""
FIRST_ROWS = 12
"""What is open at first shows no more rows than these."""

Opened = tuple[int, ...]
"""Open nodes, in the sequence in which they were opened; the root is always open."""


def rows(tree: ModuleTree, opened: Sequence[int]) -> list[int]:
    """Visible nodes, from top to bottom: nodes that are leaves or folded, and whose ancestors are all open."""
    if not tree.nodes[0].children:
        return [0] if sum(tree.nodes[0].ops) else []
    open_ = {0, *opened}
    seen: list[int] = []
    stack = list(reversed(tree.nodes[0].children))
    while stack:
        number = stack.pop()
        children = tree.nodes[number].children
        if number in open_ and children:
            stack.extend(reversed(children))
        else:
            seen.append(number)
    return seen


def cells(tree: ModuleTree, seen: Sequence[int]) -> int:
    """How many cells these rows have."""
    return sum(sum(ops > 0 for ops in tree.nodes[number].ops) for number in seen)


def first_opened(tree: ModuleTree, most_rows: int = FIRST_ROWS) -> Opened:
    """What is open at first: the modules with the most bytes, while there is room; repeated modules only where there is
    little else."""
    opened: list[int] = []
    for folded_repeats in (True, False):
        while True:
            seen = rows(tree, opened)
            choice = [
                number
                for number in seen
                if (node := tree.nodes[number]).children
                and not (folded_repeats and node.repeats > 1)
                and len(seen) - 1 + len(node.children) <= most_rows
            ]
            if not choice:
                break
            opened.append(max(choice, key=lambda number: (sum(tree.nodes[number].bytes), -number)))
        if len(rows(tree, opened)) >= 4:
            break
    return tuple(opened)


def toggled(tree: ModuleTree, opened: Opened, number: int, most_cells: int = MOST_CELLS) -> Opened:
    """`opened` after a click on `number`: an open node folds, a folded one opens, and nodes opened earliest fold to
    make room."""
    if not tree.nodes[number].children:
        return opened
    if number in opened:
        inside = _inside(tree, number)
        return tuple(one for one in opened if one not in inside)
    kept = [*opened, number]
    ancestors = {number}
    while tree.nodes[number].parent >= 0:
        number = tree.nodes[number].parent
        ancestors.add(number)
    while cells(tree, rows(tree, kept)) > most_cells:
        oldest = next((one for one in kept if one not in ancestors), None)
        if oldest is None:
            return opened if cells(tree, rows(tree, opened)) <= most_cells else ()
        inside = _inside(tree, oldest)
        kept = [one for one in kept if one not in inside]
    return tuple(kept)


def _inside(tree: ModuleTree, number: int) -> set[int]:
    """`number` and all below it."""
    found, stack = set(), [number]
    while stack:
        one = stack.pop()
        found.add(one)
        stack.extend(tree.nodes[one].children)
    return found
