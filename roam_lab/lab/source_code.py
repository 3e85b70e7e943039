"""The source code of an op's line, where this kernel can read it: a cell of the notebook, or a Python file."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator

from IPython.core.getipython import get_ipython

MOST_LETTERS = 120


def code_of(source: str) -> str:
    """The code at `source`, "file:line" or "In[3]:line" as capture has it; "" where it cannot be read.

    Cells and files are read as they are now: a file that has changed since the capture has other lines.
    """
    name, _, number = source.rpartition(":")
    if not number.isdecimal():
        return ""
    found = (linecache.getline(file, int(number)).strip() for file in _files(name))
    code = next(filter(None, found), "")
    return code if len(code) <= MOST_LETTERS else f"{code[: MOST_LETTERS - 1]}…"


def _files(name: str) -> Iterator[str]:
    """The files that capture may have shortened to `name`."""
    if name.startswith("In["):
        shell = get_ipython()
        cells = {} if shell is None else getattr(shell.compile, "_filename_map", {})
        yield from (file for file, cell in cells.items() if f"In[{cell}]" == name)
    elif name.endswith(".py"):
        yield from (os.path.join(root, name) for root in (os.getcwd(), *filter(None, sys.path)))
