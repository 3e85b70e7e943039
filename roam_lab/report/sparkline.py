"""Memory over a step, small enough for a cell of a table: as block characters, and as an image."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from roam_lab.report.units import bytes_text
from roam_lab.report.whatif_figures import highest

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 96, 20
"""The size of the picture, in pixels."""
GHOST = "#808080"
"""Seen on light and on dark pages: an image does not know on which it is."""
LETTERS = 16
"""How many block characters a sparkline has as text."""


def spark_text(curve: Sequence[int], top: int) -> str:
    """A curve as a line of block characters on a scale from 0 to `top` bytes, the same in all rows of a table; ""
    without a curve."""
    most = len(BLOCKS) - 1
    return "".join(BLOCKS[min(most, round(most * value / top))] for value in highest(curve, LETTERS)) if top else ""


def spark_image(curve: Sequence[int], top: int, ghost: Sequence[int] = ()) -> str:
    """A curve as a filled line, and behind it `ghost`, the baseline's curve, as a dashed line; "" without a curve.

    An image, not SVG among HTML, of which an untrusted notebook and a code host keep nothing.
    """
    if not curve or not top:
        return ""
    behind = f'<path d="M{_line(ghost, top)}" fill="none" stroke="{GHOST}" stroke-dasharray="2 2"/>' if ghost else ""
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<path d="M0,{HEIGHT} L{_line(curve, top)} L{WIDTH},{HEIGHT} Z" fill="#56b4e9" fill-opacity=".55" '
        f'stroke="#0072b2"/>{behind}</svg>'
    )
    alt = f"memory over the step, at most {bytes_text(max(curve))}"
    size = f'width="{WIDTH}" height="{HEIGHT}" style="display:block"'
    return f'<img alt="{alt}" {size} src="data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}">'


def _line(curve: Sequence[int], top: int) -> str:
    apart = WIDTH / max(len(curve) - 1, 1)
    places = (f"{at * apart:.1f},{HEIGHT - (HEIGHT - 1) * value / top:.1f}" for at, value in enumerate(curve))
    return " L".join(places)
