"""The contrast of every word that a page shows, in a browser: elements, SVG and what is written on canvases.

    from tests.contrast import assert_apart, assert_read

    assert_read(tab)
    assert_apart(tab)

Words are taken away, the page is photographed, and each word's colour is held against the pixels that were behind it.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

LEAST = 4.5
"""WCAG 2.2, 1.4.3, level AA, for words of any size."""
APART = 3.0
"""Pixels, both ways: words that meet in more than this lie over one another; the boxes of lines may touch."""
REDRAWN = 8.0
"""Pixels by which a word moves when its canvas is drawn again, a little narrower."""
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
    found = _call(tab, "judge", [png, words, LEAST, BEHIND])
    tab.set_viewport_size(size)
    return list(map(str, found))


def open_images(tab: Any) -> None:
    """Put the SVG of every image of ours in its place: words in an image are no words of the page."""
    tab.evaluate("""() => { for (const one of document.querySelectorAll("img.roam-image")) {
        const bytes = Uint8Array.from(atob(one.src.split(",")[1]), (letter) => letter.charCodeAt(0))
        one.outerHTML = new TextDecoder().decode(bytes) } }""")


def crowded(tab: Any, selector: str = "body", height: int = 4000) -> list[str]:
    """Every word of a picture that its edge cuts, and every two words of which one lies over the other; []: none.

    Raises AssertionError where there are no words. The page is drawn again, `height` pixels high, on the way.
    """
    size = tab.viewport_size
    _call(tab, "hear")
    tab.set_viewport_size({"width": size["width"] - 6, "height": height})
    tab.wait_for_timeout(700)
    words = _call(tab, "words", selector)
    _call(tab, "show")
    tab.set_viewport_size(size)
    assert words, "there are no words"
    wording = [f"{word['text']!r} is cut off" for word in words if word["lost"]]
    for at, one in enumerate(words):
        wording += [f"{one['text']!r} lies over {other['text']!r}" for other in words[:at] if _meet(one, other)]
    return sorted(set(wording))


def _meet(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether they overlap; a word that was drawn a second time does not lie over itself."""
    if one["text"] == other["text"] and all(
        abs(a - b) < REDRAWN for a, b in zip(one["box"], other["box"], strict=True)
    ):
        return False
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one["box"], other["box"]
    return bool(min(right, right2) - max(left, left2) > APART and min(bottom, bottom2) - max(top, top2) > APART)


def assert_apart(tab: Any, selector: str = "body", height: int = 4000) -> None:
    """Fail with every word that is `crowded`."""
    found = crowded(tab, selector, height)
    assert not found, "not to be read:\n" + "\n".join(found)


def _call(tab: Any, name: str, given: Any = None) -> Any:
    return tab.evaluate(f"given => (\n{_IN_PAGE}).{name}(given)", given)


def assert_read(tab: Any, selector: str = "body", height: int = 4000) -> None:
    """Fail with every word that is `faint`."""
    found = faint(tab, selector, height)
    assert not found, "too faint:\n" + "\n".join(found)
