"""What a step reads from, or writes to, the world outside of Python objects: files, clock, environment, screen, logs.

None of it is in the graph. Every planned step prints and logs what the step printed or logged; variables of the
environment that it reads are guarded; a step that uses files, the clock or true randomness is refused.
"""

from __future__ import annotations

import builtins
import io
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import numpy
import torch

from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.torch_internals import pytree, scripted_calls
from roam_lab.capture.user_lines import INSTALLED, is_standard_file, is_user_file, user_line
from roam_lab.errors import CaptureError

Call = Callable[[Callable[..., Any], str, Any, Any], None]
"""`call(function, name for messages, arguments, keywords)`: have the function called after every planned step."""

_FILES = (
    (builtins, "open"), (io, "open"), (os, "open"), (os, "stat"), (os, "listdir"), (os, "scandir"), (os, "mkdir"),
    (os, "remove"), (os, "rename"), (os, "replace"),
)  # fmt: skip
_CLOCKS = tuple(
    (time, name + unit)
    for name in ("time", "perf_counter", "monotonic", "process_time", "thread_time")
    for unit in ("", "_ns")
)
_CHANCE = ((os, "urandom"), (random, "_urandom"))
_PROCESSES: tuple[tuple[Any, str], ...] = ((os, "system"), (subprocess.Popen, "__init__"))
_PASSED_ON = os.path.dirname(numpy.__file__) + os.sep
"""The folder of NumPy: where its code opens a file, that counts as opened by its caller."""
_FOR_PYTHON = ("importlib", "linecache.py", "warnings.py", "traceback.py", "inspect.py")
"""Code that reads files for Python itself: to import modules, or to show lines of source."""

_muted = 0
_trials = 0

Asker = Callable[[FrameType | None], FrameType | None]


def _asker(frame: FrameType | None) -> FrameType | None:
    """The frame of the step's code on whose behalf a call is made; None where Python or torch makes it for itself."""
    while frame is not None:
        name = frame.f_code.co_filename
        if any(part in name for part in _FOR_PYTHON):
            return None
        standard = (
            name.startswith(("<frozen", "<__array_function__")) or name.endswith(".pyx") or is_standard_file(name)
        )
        if not standard and not name.startswith(_PASSED_ON):
            return frame if is_user_file(name) else None
        frame = frame.f_back
    return None


def _own(frame: FrameType | None) -> FrameType | None:
    """As `_asker`, but None for code that is not the user's own."""
    found = _asker(frame)
    return None if found is None or INSTALLED in found.f_code.co_filename else found


def _direct(frame: FrameType | None) -> FrameType | None:
    """As `_own`, but None where the step's code does not make the call itself."""
    found = _own(frame)
    return found if found is frame else None


class World:
    """Notes what a step reads from and writes to the world while it is traced, and prevents it.

    `variables`: keys of the environment that were read. `scripted`: whether the step calls TorchScript, which computes
    by other kernels from its third run on.
    """

    def __init__(self, reachable: Reachable, call: Call) -> None:
        self.variables: set[Any] = set()
        self.scripted = False
        self._reachable, self._call = reachable, call
        self._refused: CaptureError | None = None
        self._instead: dict[int, Any] = {}

    def check(self) -> None:
        """Raise the error with which the step was refused, also where the step's code has caught it."""
        if self._refused is not None:
            raise self._refused

    @contextmanager
    def noted(self) -> Iterator[None]:
        """The context in which the step is traced. Raises CaptureError inside the step, at the line that does what a
        planned step could not do again."""
        with ExitStack() as back:
            for home, name in _FILES:
                self._refuse(back, home, name, _file)
            for name in ("save", "load"):
                self._refuse(back, torch, name, lambda *_, verb=name: f"{verb}s a file")
            for home in (torch, torch.random):
                self._refuse(back, home, "initial_seed", lambda *_: "asks for the seed")
            for home, name in _CLOCKS:
                self._refuse(back, home, name, lambda *_: "reads the clock", asker=_direct)
            for home, name in _CHANCE:
                self._refuse(back, home, name, lambda *_: "draws from the system's randomness", asker=_own)
            for home, name in _PROCESSES:
                self._refuse(back, home, name, lambda *_: "starts a process")
            self._refuse(back, threading.Thread, "start", lambda *_: "starts a thread")
            environment: Any = type(os.environ)
            for name in ("__setitem__", "__delitem__"):
                self._refuse(back, environment, name, lambda _, key, *__: f"changes os.environ[{key!r}]")
            self._put(back, environment, "__getitem__", self._reading(environment.__getitem__))
            self._put(back, builtins, "print", self._printing(print))
            self._put(back, logging.Logger, "handle", self._logging(logging.Logger.handle))
            for kind in scripted_calls:
                self._put(back, kind, "__call__", self._scripting(kind.__call__))
            self._put_under_other_names(back)
            yield

    def _put(self, back: ExitStack, home: Any, name: str, instead: Any) -> None:
        """Replace the function `home.name` by `instead`, in this thread only; `instead` runs two frames below its
        caller.
        """
        original, thread = getattr(home, name), threading.get_ident()

        def here(*args: Any, **kwargs: Any) -> Any:
            return (instead if threading.get_ident() == thread else original)(*args, **kwargs)

        self._instead[id(original)] = here
        back.callback(setattr, home, name, original)
        setattr(home, name, here)

    def _put_under_other_names(self, back: ExitStack) -> None:
        """Replace the same functions under names of the step's own code: `from time import perf_counter`."""
        for one in self._reachable.containers:
            entries = one.read() if one.kind in ("names", "cell") else {}
            for key, value in entries.items() if isinstance(entries, dict) else ():
                if id(value) in self._instead:
                    back.callback(one.put, key, value)
                    one.put(key, self._instead[id(value)])

    def _refuse(self, back: ExitStack, home: Any, name: str, what: Callable[..., str], asker: Asker = _asker) -> None:
        """Replace `home.name` by a function that refuses the step with the sentence `what(...)`. `asker`: the frame of
        the step's code on whose behalf a call is made (None: the call is allowed)."""
        original = getattr(home, name)

        def instead(*args: Any, **kwargs: Any) -> Any:
            found = asker(sys._getframe(2))
            if found is None:
                return original(*args, **kwargs)
            error = CaptureError(
                f"{user_line(found)}: the step {what(*args)}, which a planned step would not do again; do that "
                "outside the step"
            )
            self._refused = self._refused or error
            raise error

        self._put(back, home, name, instead)

    def _reading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def read(environment: Any, key: Any) -> Any:
            if isinstance(key, str):
                self.variables.add(environment.encodekey(key))
            return original(environment, key)

        return read

    def _scripting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(function: Any, *args: Any, **kwargs: Any) -> Any:
            self.scripted = True
            return original(function, *args, **kwargs)

        return call

    def _printing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def print_later(*values: Any, **how: Any) -> None:
            asker = _own(sys._getframe(2))
            if asker is None:
                original(*values, **how)
                return
            where = f"print() at {user_line(asker)}"
            if how.get("file") not in (None, sys.stdout, sys.stderr):
                raise CaptureError(f"the step writes to a file with {where}; do that outside the step")
            self._later(lambda *now: original(*now, **how), where, values)

        return print_later

    def _logging(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def log_later(logger: logging.Logger, record: logging.LogRecord) -> None:
            asker = _own(sys._getframe(2))
            if asker is None:
                original(logger, record)
                return

            def again(message: Any, values: Any) -> None:
                fresh = vars(logging.makeLogRecord({}))
                times = {name: fresh[name] for name in ("created", "msecs", "relativeCreated")}
                original(logger, logging.makeLogRecord({**vars(record), **times, "msg": message, "args": values}))

            self._later(again, f"the log at {user_line(asker)}", (record.msg, record.args))

        return log_later

    def _later(self, function: Callable[..., Any], where: str, values: Any) -> None:
        if any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(values)):
            self._refused = self._refused or CaptureError(
                f"the step gives a tensor to {where}, which a planned step would show otherwise; give it a number "
                "(.item()), or do that after the step"
            )
            raise self._refused
        self._call(lambda *now: None if _muted else function(*now), where, tuple(values), {})


@contextmanager
def trial() -> Iterator[None]:
    """A context for running a step whose effects are put back afterwards; effects on the world cannot be."""
    global _trials
    _trials += 1
    try:
        yield
    finally:
        _trials -= 1


def on_trial() -> bool:
    """Whether the code runs inside `trial`."""
    return _trials > 0


@contextmanager
def muted() -> Iterator[None]:
    """A context for running the step once more than the user asked for: what it prints and logs is not shown."""
    global _muted
    handle = logging.Logger.handle

    def unless_asked(original: Callable[..., Any]) -> Callable[..., Any]:
        def silent(*args: Any, **kwargs: Any) -> Any:
            asked = _own(sys._getframe(1)) is not None
            return None if asked else original(*args, **kwargs)

        return silent

    original_print = builtins.print
    _muted += 1
    try:
        builtins.print, logging.Logger.handle = unless_asked(original_print), unless_asked(handle)  # type: ignore[method-assign]
        yield
    finally:
        _muted -= 1
        builtins.print, logging.Logger.handle = original_print, handle  # type: ignore[method-assign]


def variables_guarded(keys: Collection[Any]) -> list[Container]:
    """The variables of the environment with these keys, as containers that can be guarded."""
    held = vars(os.environ)["_data"]
    return [Container("names", held, "os.environ", names=tuple(sorted(keys)))] if keys else []


def _file(*args: Any) -> str:
    what = args[0] if args and isinstance(args[0], str | bytes | os.PathLike) else "it names"
    return f"opens, looks for or changes the file {os.fsdecode(what)}"
