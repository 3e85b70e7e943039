"""Faults that code can have, one at a time: a comparison, an operator, a constant, a statement or a result changed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault: in `file` (relative to the root), where `before` becomes `after`. `text`: the line that it is in;
    `source`: the file with it."""

    file: str
    line: int
    column: int
    function: str
    kind: str
    before: str
    after: str
    text: str
    source: str

    @property
    def name(self) -> str:
        """The same for the same fault also where lines have moved."""
        where = f"column {self.column} of `{self.text}`"
        return f"{self.file} {self.function}, {where}: {self.before} -> {self.after}"


Fault = tuple[Path, int, int]
"""A file, the number of a place in it, and the number of one of the changes of that place."""


def faults_of(path: Path) -> Iterator[Fault]:
    """Every fault of a file, in the sequence of its nodes."""
    for number, (node, kind, _) in enumerate(_places(ast.parse(path.read_text()))):
        yield from ((path, number, change) for change in range(len(_changes(node, kind))))


def made(fault: Fault, root: Path) -> Mutant:
    """The mutant with this fault; `root`: what its file is named from."""
    path, number, change = fault
    text = path.read_text()
    tree = ast.parse(text)
    node, kind, function = _places(tree)[number]
    line, column, before = node.lineno, node.col_offset + 1, _first_line(node)
    _changes(node, kind)[change](node)
    source = ast.unparse(ast.fix_missing_locations(tree))
    on = text.splitlines()[line - 1].strip()
    return Mutant(str(path.relative_to(root)), line, column, function, kind, before, _first_line(node), on, source)


def _first_line(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]


def _places(tree: ast.Module) -> list[tuple[Any, str, str]]:
    """Nodes that can be changed, each with the kind of its change and the function around it.

    Annotations, decorators, docstrings, messages and tables of a module are left as they are.
    """
    found: list[tuple[Any, str, str]] = []

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
            return
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        kind = _kind(node)
        if kind and function:  # a figure in a table could only be repeated by a test
            found.append((node, kind, function))
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}".lstrip(".")
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    visit(child, function)

    for statement in tree.body:
        visit(statement, "")
    return found


def _kind(node: ast.AST) -> str:
    match node:
        case ast.Compare(ops=[one]) if type(one) in COMPARISONS:
            return "comparison"
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in ARITHMETIC and not _is_text(node):
            return "arithmetic"
        case ast.BoolOp():
            return "boolean"
        case ast.UnaryOp(op=ast.Not()):
            return "not"
        case ast.Constant(value=bool() | int() | float()):
            return "constant"
        case ast.If() | ast.IfExp():
            return "condition"
        case ast.Return(value=value) if value is not None and ast.unparse(value) != "None":
            return "return value"
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Break():
            return "statement"
    return ""


def _is_text(node: ast.AST) -> bool:
    return any(isinstance(one, ast.JoinedStr) or isinstance(getattr(one, "value", None), str) for one in ast.walk(node))


def _changes(node: Any, kind: str) -> list[Callable[[Any], None]]:
    """Functions that change such a node in place."""

    def replaced(**values: Any) -> Callable[[Any], None]:
        return lambda place: place.__dict__.update(values)

    def became(new: Any) -> Callable[[Any], None]:
        def change(place: Any) -> None:
            place.__class__ = type(new)
            place.__dict__.update(new.__dict__)

        return change

    match kind:
        case "comparison":
            return [replaced(ops=[COMPARISONS[type(node.ops[0])]()])]
        case "arithmetic":
            return [replaced(op=ARITHMETIC[type(node.op)]())]
        case "boolean":
            return [replaced(op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())]
        case "not":
            return [became(node.operand)]
        case "constant":
            value = node.value
            return [replaced(value=not value if isinstance(value, bool) else value + 1)]
        case "condition":
            return [replaced(test=ast.Constant(True)), replaced(test=ast.Constant(False))]
        case "return value":
            return [replaced(value=ast.Constant(None))]
        case "statement":
            return [became(ast.Pass())]
    raise ValueError(kind)
