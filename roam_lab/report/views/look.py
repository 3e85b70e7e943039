"""How a kind, a role or a status looks in every figure: Okabe and Ito's colours, each with its hatch or dash.

`light` is legible on white, `dark` on near-black. `hatch` is bokeh's one-letter name of a pattern, which the SVG
pictures use, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OKABE_ITO = {
    "black": "#000000",
    "orange": "#e69f00",
    "sky": "#56b4e9",
    "green": "#009e73",
    "yellow": "#f0e442",
    "blue": "#0072b2",
    "vermilion": "#d55e00",
    "purple": "#cc79a7",
    "grey": "#999999",
}


@dataclass(frozen=True, slots=True)
class Look:
    """One colour for each theme, a hatch for areas (" ": none) and a dash for lines (empty: solid)."""

    light: str
    dark: str
    hatch: str = " "
    dash: tuple[int, ...] = ()

    def colour(self, theme: str) -> str:
        """The colour in `theme` ("light" or "dark"); any other theme takes the light one."""
        return self.dark if theme == "dark" else self.light


def _same(name: str, hatch: str) -> Look:
    return Look(OKABE_ITO[name], OKABE_ITO[name], hatch)


RESIDENT = _same("grey", "-")
KINDS = {
    "activation": _same("sky", " "),
    "gradient": _same("orange", "/"),
    "temporary": _same("green", "."),
    "workspace": _same("purple", "x"),
    "output": _same("vermilion", "|"),
    "recomputed": _same("blue", "+"),
    "offloaded": _same("yellow", "o"),
    "unknown": _same("grey", "\\"),
}
REWRITTEN = ("recomputed", "offloaded")
"""Kinds that a plan has and its graph has not."""
SPARE = (_same("yellow", "x"), _same("blue", "."), _same("vermilion", "`"), _same("purple", "v"))
"""For kinds unknown here: a graph's file may name any."""

ROLES = {
    "captured": Look(OKABE_ITO["vermilion"], OKABE_ITO["orange"], dash=(7, 4)),
    "baseline": Look("#444444", "#cccccc", dash=(2, 3)),
    "planned": Look(OKABE_ITO["blue"], OKABE_ITO["sky"]),
    "bound": Look(OKABE_ITO["green"], OKABE_ITO["green"], dash=(2, 4)),
    "measured": Look(OKABE_ITO["purple"], OKABE_ITO["purple"], dash=(9, 3, 2, 3)),
    "checkpointed": Look(OKABE_ITO["purple"], OKABE_ITO["purple"], dash=(1, 3)),
}
TIMES = {
    "little-time": Look(OKABE_ITO["green"], OKABE_ITO["green"]),
    "more-time": Look(OKABE_ITO["purple"], OKABE_ITO["purple"]),
}
"""For plans that may add time, in figures where dashes mean something else: their curves are labelled at their end."""
MARKERS = {"planned": "circle", "captured": "square", "checkpointed": "triangle", "chosen": "circle"}
"""Bokeh's name of the marker for each role; "chosen" is a ring around another point."""
PHASES = {
    "forward": Look(OKABE_ITO["blue"], OKABE_ITO["sky"], " "),
    "backward": Look(OKABE_ITO["vermilion"], OKABE_ITO["orange"], "/"),
    "update": Look(OKABE_ITO["green"], OKABE_ITO["green"], "."),
}
STATUSES = {
    "optimal": _same("green", " "),
    "feasible": _same("orange", "/"),
    "timed out": _same("vermilion", "x"),
}
PEAK = Look(OKABE_ITO["vermilion"], OKABE_ITO["orange"])


def kind_looks(kinds: Iterable[str]) -> dict[str, Look]:
    """A look for each of `kinds`, ours first and in our order, others after them by name."""
    present = set(kinds)
    strangers = sorted(present - KINDS.keys())
    ours = {kind: look for kind, look in KINDS.items() if kind in present}
    return ours | {kind: SPARE[index % len(SPARE)] for index, kind in enumerate(strangers)}


def looks_in(kinds: Iterable[str], places: bool) -> tuple[dict[str, Look], frozenset[str]]:
    """A look for each of `kinds`, and which of these looks no storage has.

    `places`: there is one for what only rewriting makes in any case. A page draws a figure with other data at once, and
    takes several times as long for one with other parts.
    """
    present = set(kinds)
    unseen = frozenset(REWRITTEN) - present if places else frozenset()
    return kind_looks(present | unseen), unseen


def pale(look: Look) -> str:
    """Its colour, two thirds of the way to white: dark text is legible on it in any theme."""
    parts = (int(look.light[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - part) / 3):02x}" for part in parts)


def ink_on(colour: str) -> str:
    """Near-black or white, whichever has more contrast on `colour` (WCAG 2.2, relative luminance)."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#111111" if (luminance + 0.05) / 0.0556 >= 1.05 / (luminance + 0.05) else "#ffffff"
