"""The contrast of every word that a page shows, in a browser: elements, SVG and what is written on canvases.

    from tests.contrast import assert_read

    assert_read(tab)

Words are taken away, the page is photographed, and each word's colour is held against the pixels that were behind it.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

LEAST = 4.5
"""WCAG 2.2, 1.4.3, level AA, for words of any size."""
BEHIND = 0.25
"""A word fails where more than this part of the pixels behind it are too near to its colour: it may cross a line."""
_IN_PAGE = Path(__file__).with_suffix(".js").read_text("utf-8")


def faint(tab: Any, selector: str = "body", height: int = 4000) -> list[str]:
    """Every word below an element that `selector` matches whose contrast is less than LEAST, its ratio first; []: none.

    Raises AssertionError where there are no words. The page is drawn again, `height` pixels high, on the way; words of
    disabled controls are left out, as WCAG does.
    """
    size = tab.viewport_size
    _call(tab, "hear")
    tab.set_viewport_size({"width": size["width"] - 6, "height": height})  # canvases are drawn again
    tab.wait_for_timeout(700)
    words = _call(tab, "words", selector)
    assert words, "there are no words"
    png = base64.b64encode(tab.screenshot()).decode()
    _call(tab, "show")
    told = _call(tab, "judge", [png, words, LEAST, BEHIND])
    tab.set_viewport_size(size)
    return list(map(str, told))


def _call(tab: Any, name: str, given: Any = None) -> Any:
    return tab.evaluate(f"given => (\n{_IN_PAGE}).{name}(given)", given)


def assert_read(tab: Any, selector: str = "body", height: int = 4000) -> None:
    """Fail with every word that is `faint`."""
    found = faint(tab, selector, height)
    assert not found, "too faint:\n" + "\n".join(found)
