"""The code that a step runs: every function that Python enters meanwhile, by what it does, wherever it stands."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from roam_lab.capture.user_lines import DEMO_MODEL, NOT_THE_USERS, is_standard_file


class Entered:
    """Notes all functions that are entered, the user's, those of libraries, and those that were made by exec.

    Not those of Python itself, torch and roam-lab, of which a version is one code; nor what a module runs when it is
    imported, which happens once, at a time that depends on what was imported before; nor what the garbage collector
    calls to end objects, at any time. `complete`: no profiler was in the way.
    """

    def __init__(self) -> None:
        self._codes: dict[int, CodeType] = {}  # by id, which stays true: each is kept here
        self.complete = True

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what this thread enters. Where a profiler is on already, it stays on, and nothing is noted."""
        if sys.getprofile() is not None:
            self.complete = False
            yield
            return
        codes = self._codes
        importing: FrameType | None = None
        collecting = False

        def collector(phase: str, _: dict[str, int]) -> None:
            nonlocal collecting
            collecting = phase == "start"

        def note(frame: FrameType, event: str, _: Any) -> None:
            nonlocal importing
            if collecting or _unnoted:
                return
            if importing is not None:
                importing = None if event == "return" and frame is importing else importing
            elif event == "call":
                code = frame.f_code
                if code.co_filename.startswith("<frozen importlib"):
                    importing = frame
                elif code.co_filename != "<string>" or not _is_of_a_version(frame.f_globals.get("__name__")):
                    codes[id(code)] = code

        gc.callbacks.append(collector)
        sys.setprofile(note)
        try:
            yield
        finally:
            gc.callbacks.remove(collector)
            self.complete = self.complete and sys.getprofile() is note
            sys.setprofile(None)

    def digests(self) -> dict[str, str]:
        """`code_digest` of each -> its name and where it stands."""
        found = (code for code in self._codes.values() if _is_others(code.co_filename))
        return {code_digest(one): f"{one.co_qualname} ({one.co_filename}:{one.co_firstlineno})" for one in found}


class unnoted:  # noqa: N801  # a context manager, entered for each op: as a class it costs a third
    """A context whose code is not noted: what roam-lab and torch run for themselves while a step is noted."""

    def __enter__(self) -> None:
        global _unnoted
        self._profile = sys.getprofile()
        if _OFF_IS_CHEAP:
            sys.setprofile(None)
        _unnoted += 1

    def __exit__(self, *_: object) -> None:
        global _unnoted
        _unnoted -= 1
        if _OFF_IS_CHEAP:
            sys.setprofile(self._profile)


_unnoted = 0
_OFF_IS_CHEAP = sys.version_info < (3, 12)
"""From Python 3.12 on, all code is instrumented anew whenever a profile function is set or taken off."""


def _is_others(filename: str) -> bool:
    of_a_version = filename.startswith((*NOT_THE_USERS, "<frozen")) or is_standard_file(filename)
    of_a_version = of_a_version or filename.endswith("typing_extensions.py")  # Python's own, and called once
    return not of_a_version or filename == DEMO_MODEL


def _is_of_a_version(module: Any) -> bool:
    """Whether a module is torch's or roam-lab's: what `exec` makes for it, as a dataclass's methods, is theirs."""
    return str(module or "").partition(".")[0] in ("torch", "roam_lab")


def code_digest(code: CodeType) -> str:
    """Equal for code that does the same, in whatever file and at whatever line it stands."""
    return _hash(repr(_facts(code)).encode("utf-8", "surrogateescape"))


def _facts(code: CodeType) -> tuple[Any, ...]:
    return (
        code.co_qualname, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags,
        code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_exceptiontable,
        [_constant(one) for one in code.co_consts],
    )  # fmt: skip


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _facts(value)
    if isinstance(value, tuple):
        return [_constant(part) for part in value]
    if isinstance(value, frozenset):
        return sorted(repr(_constant(part)) for part in value)
    return type(value).__name__, repr(value)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def digest_of_files(folders: Collection[str]) -> str:
    """Of the Python files in these folders, with all below."""
    found = hashlib.sha256()
    for folder in folders:
        for home, below, names in os.walk(folder):
            below.sort()
            for name in sorted(names):
                if name.endswith(".py"):
                    with open(os.path.join(home, name), "rb") as file:
                        found.update(name.encode() + b"\0" + file.read())
    return found.hexdigest()
