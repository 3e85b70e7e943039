"""What figures take from the page that shows them: its light or dark colours, in theme "auto", and its key events."""

# bokeh annotates neither its generated initialisers nor its properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from bokeh.plotting import figure

from roam_lab.report.figures.cursor import CURSOR, Cursor
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import INKS, Theme

HOME = files(__package__).joinpath("home.js").read_text("utf-8")
_SETTLE = """
homeSettle(fig, inks, now, steps)
"""


def settle(stage: Stage, figures: Iterable[Any], cursor: Cursor, theme: Theme) -> None:
    """Let each figure learn, once it is shown, how dark its page is (in theme "auto") and listen to keys: arrows, page
    up and down, home, end. Shift with an arrow moves as far as a page key."""
    # axis and grid have one colour in each theme
    inks = {name: {"text": ink.text, "axis": ink.axis, "paper": ink.paper} for name, ink in INKS.items()}
    for one in figures:
        if isinstance(one, figure):
            given = {"fig": one, "inks": inks if theme == "auto" else None, **cursor.given}
            # heard at another plan, too: its new parts do not have the colours yet
            heard = ((one, "inner_width"), (cursor.steps, "data"))
            stage.listen(f"{one.name}.settle", CURSOR + HOME + _SETTLE, given, *heard)
