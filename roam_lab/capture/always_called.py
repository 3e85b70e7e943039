"""Whether a step makes a call each time that it runs, as far as the source of the user's own code shows."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from types import CodeType, FrameType

from roam_lab.capture.user_lines import INSTALLED, is_user_file

_CHOICES = (ast.If, ast.IfExp, ast.BoolOp, ast.While, ast.Match, ast.ExceptHandler)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


def is_always_called(frame: FrameType | None, outermost: CodeType) -> bool:
    """Whether the line that `frame` is at, and those of its callers up to the code `outermost`, are run whenever that
    code is: none stands in a branch, or behind one that may leave the function. False where no source is found. What
    libraries do in branches (Lightning, Accelerate) they do in turns that fit together."""
    while frame is not None and frame.f_code is not outermost:
        if _is_own(frame.f_code.co_filename) and not _is_always_run(frame.f_code, frame.f_lineno):
            return False
        frame = frame.f_back
    return frame is not None


def _is_own(filename: str) -> bool:
    if filename.startswith("<"):
        return not filename.startswith("<frozen")
    return is_user_file(filename) and INSTALLED not in filename


def _is_always_run(code: CodeType, line: int) -> bool:
    if code.co_name in _COMPREHENSIONS:
        return True
    try:
        lines, first = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError, ValueError, TypeError):
        return False
    line -= first - 1
    function = next((node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)), None)
    return function is not None and not any(_may_leave_out(node, line) for node in _inside(function))


def _may_leave_out(node: ast.AST, line: int) -> bool:
    if isinstance(node, ast.Return):
        return node.lineno < line
    if isinstance(node, ast.For | ast.AsyncFor) and _holds(node, line):
        return any(isinstance(one, ast.Continue | ast.Break) and one.lineno < line for one in _inside(node))
    return isinstance(node, _CHOICES) and _holds(node, line)


def _inside(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions that it defines."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, _FUNCTIONS):
            yield from _inside(child)


def _holds(node: ast.AST, line: int) -> bool:
    return bool(getattr(node, "lineno", 0) <= line <= (getattr(node, "end_lineno", None) or 0))
