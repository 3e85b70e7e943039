"""The names that a function's code uses: globals, and variables of modules."""

from __future__ import annotations

import dis
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from roam_lab.capture.sources.library import is_user_code


def globals_used(function: FunctionType) -> list[str]:
    """The names of the existing globals that a function reads, and of those that it binds."""
    read, bound, _, _ = names_in(function.__code__)
    return sorted({name for name in read if name in function.__globals__} | bound)


def modules_used(function: FunctionType) -> Iterator[tuple[ModuleType, list[str]]]:
    """Yields each module that a function names, with the names of its variables that the function may use."""
    read, _, used, imported = names_in(function.__code__)
    lookup = function.__globals__
    package = str(lookup.get("__package__") or "")
    waiting = [lookup.get(name) for name in read]
    waiting += [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
    waiting += [sys.modules.get(_absolute(name, package)) for name in imported]
    seen: set[int] = set()
    while waiting:
        module = waiting.pop()
        if not isinstance(module, ModuleType) or id(module) in seen:
            continue
        seen.add(id(module))
        names = sorted(used.intersection(vars(module)))
        yield module, names
        found = [vars(module)[name] for name in names]
        waiting += found if is_user_code(module.__name__) else [one for one in found if isinstance(one, ModuleType)]


@lru_cache(maxsize=4096)
def names_in(code: CodeType) -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
    """The names in code and in the code nested in it, as four sets: globals read; globals bound; attributes; modules
    imported (names of relative imports begin with dots).

    A string constant that could be a name counts as one, because of `getattr(module, "NAME")` and `globals()["NAME"]`.
    """
    read: set[str] = set()
    bound: set[str] = set()
    imported: set[str] = set()
    used = set(code.co_names)
    if used:
        constants: list[Any] = []
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
                constants.append(instruction.argval)
            elif instruction.opname.endswith(("_GLOBAL", "_NAME")):
                if instruction.opname == "IMPORT_NAME":
                    level = constants[-2] if len(constants) > 1 and isinstance(constants[-2], int) else 0
                    imported.add("." * level + instruction.argval)
                elif instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                    bound.add(instruction.argval)
                else:
                    read.add(instruction.argval)
    texts = {one for one in code.co_consts if isinstance(one, str) and one.isidentifier()}
    used |= texts
    if "globals" in code.co_names:
        read |= texts
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = names_in(constant)
            read |= inner[0]
            bound |= inner[1]
            used |= inner[2]
            imported |= inner[3]
    return frozenset(read), frozenset(bound), frozenset(used), frozenset(imported)


def _absolute(name: str, package: str) -> str:
    """The full name of a module that is imported in `package` as `name`, which may begin with dots."""
    try:
        return importlib.util.resolve_name(name, package)
    except (ImportError, ValueError):
        return name


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
