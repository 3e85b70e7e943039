"""What all bokeh figures share: colours for light and dark pages, alt texts, plain strings.

Figures have a transparent background, to suit any page. In theme "auto" axes and text have a grey that is legible on
white and on near-black; "light" and "dark" have more contrast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from roam_lab.errors import InputError
from roam_lab.report.safe_text import printable
from roam_lab.report.views.look import Look

Theme = Literal["auto", "light", "dark"]


@dataclass(frozen=True, slots=True)
class Ink:
    """Colours of text, axes and grid, and of the background of text on a filled area (`paper`)."""

    theme: Theme
    text: str
    axis: str
    grid: str
    grid_alpha: float
    paper: str

    def of(self, look: Look) -> str:
        """The look's colour in this theme."""
        return look.colour(self.theme)


# No grey has the contrast of 4.5 that small text should have (WCAG 2.2, 1.4.3) both on white and on the #111111 of
# JupyterLab's dark theme. This one maximizes the lower of the two: 4.3. Text on a canvas cannot follow the page's CSS.
INKS = {
    "auto": Ink("auto", "#797979", "#8a8a8a", "#8a8a8a", 0.25, "#fefefe"),
    "light": Ink("light", "#222222", "#555555", "#555555", 0.18, "#ffffff"),
    "dark": Ink("dark", "#eeeeee", "#aaaaaa", "#aaaaaa", 0.22, "#111111"),
}


def ink_of(theme: str) -> Ink:
    """The ink of `theme`. Raises InputError for another name than auto, light or dark."""
    if theme not in INKS:
        raise InputError(f"no theme is named {theme!r}; choose one of {', '.join(INKS)}")
    return INKS[theme]


def plain(text: str) -> str:
    """`text` so that bokeh shows it literally. Names come from files, and bokeh would typeset what looks like a
    formula, with a library from the network."""
    text = printable(text)
    for sign in ("$$", "\\[", "\\]", "\\(", "\\)"):
        text = text.replace(sign, f"{sign[0]}\u2060{sign[1]}")
    return text


def alt_text(model: Any) -> str:
    """The alt text of a figure made here; "" for any other model."""
    return str(model.html_attributes.get("aria-label", ""))
