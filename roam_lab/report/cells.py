"""A script made of a notebook's cells: those statements, in their sequence, that define what a step needs."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

RANDOM = ("torch", "random", "numpy", "np")
"""A statement that only calls something is kept if it calls one of these modules: seeds, threads and settings affect
all later values."""


def needed_statements(cells: Iterable[str], names: Collection[str]) -> str:
    """The top-level statements of `cells` that define `names`, or a name that those use, and statements that call a
    method of one of them (`model.train()`). Magics are left out of the cells."""
    statements = [statement for cell in cells for statement in _parsed(cell)]
    needed, before = set(names), set[str]()
    while needed != before:  # until nothing is added: a function may use what is defined after it
        before = set(needed)
        for node, _ in statements:
            if _is_needed(node, needed):
                needed |= _used(node)
    return "\n".join(text for node, text in statements if _is_needed(node, needed))


def _is_needed(node: ast.stmt, names: set[str]) -> bool:
    root = _root(node)
    if _bound(node) & names or root in names:
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and root in RANDOM


def _parsed(cell: str) -> list[tuple[ast.stmt, str]]:
    lines = cell.splitlines()
    if lines and lines[0].startswith("%%"):
        lines = lines[1:] if lines[0].startswith("%%roam") else []
    plain = "\n".join("" if _is_magic(line) else line for line in lines)
    try:
        tree = ast.parse(plain)
    except SyntaxError:
        return []
    return [(node, _text(plain, node)) for node in tree.body]


def _is_magic(line: str) -> bool:
    return line.startswith(("%", "!", "?")) or "= %" in line or "= !" in line or line.endswith("?")


def _text(source: str, node: ast.stmt) -> str:
    """The source of a statement, with its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(one.lineno for one in decorators)])
    return "\n".join(source.splitlines()[first - 1 : node.end_lineno])


def _bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds, at any depth of blocks and tuples."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _used(node: ast.stmt) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}


def _root(node: ast.stmt) -> str:
    """The variable whose method a statement calls, or whose attribute it sets: "model" for `model.train()`; "" for any
    other statement."""
    if isinstance(node, ast.Expr):
        at: ast.expr = node.value.func if isinstance(node.value, ast.Call) else ast.Constant(None)
    elif isinstance(node, ast.Assign):
        at = node.targets[0]
    elif isinstance(node, ast.AugAssign):
        at = node.target
    else:
        return ""
    if isinstance(at, ast.Name):
        return ""
    while isinstance(at, ast.Attribute | ast.Subscript):
        at = at.value
    return at.id if isinstance(at, ast.Name) else ""
