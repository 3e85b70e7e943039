"""The user's line that is running: of frames and tracebacks without those of torch, IPython and roam-lab."""

from __future__ import annotations

import os
import sys
import sysconfig
from types import FrameType, TracebackType

import torch

OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep
COMMAND = os.path.join(sysconfig.get_path("scripts"), "roam")
NOT_THE_USERS = (os.path.dirname(torch.__file__) + os.sep, OURS, COMMAND)
DEMO_MODEL = os.path.join(OURS, "demo", "gpt2.py")
"""The demo's model, which counts as the user's file though it is ours."""
_STANDARD = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
INSTALLED = f"{os.sep}site-packages{os.sep}"
_IPYTHON = f"{os.sep}site-packages{os.sep}IPython{os.sep}"
"""IPython's own files: their frames are between a cell and a magic that it calls."""


def is_user_file(filename: str) -> bool:
    """Whether a file is the user's, or a model library's; False for torch, IPython, roam-lab, Python's own library and
    generated code."""
    if filename.startswith("<"):
        return filename.startswith("<ipython-input-")
    if filename == DEMO_MODEL:
        return True
    return not filename.startswith(NOT_THE_USERS) and _IPYTHON not in filename and not is_standard_file(filename)


def is_standard_file(filename: str) -> bool:
    """Whether a source file belongs to Python's own library."""
    return filename.startswith(_STANDARD) and INSTALLED not in filename


def _short(filename: str) -> str:
    """A short path: relative to the working directory, or to site-packages; "In[3]" for a notebook's cell."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and (cell := getattr(shell.compile, "_filename_map", {}).get(filename)) is not None:
        return f"In[{cell}]"
    if INSTALLED in filename:  # also where the environment lies below the working directory
        return filename.rpartition(INSTALLED)[2]
    for root in (os.getcwd() + os.sep, *(entry + os.sep for entry in sys.path if entry)):
        if filename.startswith(root):
            return filename[len(root) :]
    return filename


def user_line(frame: FrameType | None) -> str | None:
    """ "file:line" of the innermost frame that is the user's."""
    while frame is not None:
        if is_user_file(frame.f_code.co_filename):
            return f"{_short(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def traceback_user_line(traceback: TracebackType | None) -> str | None:
    """ "file:line" of the innermost frame of a traceback that is the user's."""
    found = None
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if is_user_file(filename):
            found = f"{_short(filename)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found
