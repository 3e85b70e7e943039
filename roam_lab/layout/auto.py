"""The automatic layout."""

from __future__ import annotations

from roam_lab.ir import Layout, Lifetime
from roam_lab.layout.best_fit import best_fit
from roam_lab.layout.squeeze import squeezed
from roam_lab.registry import strategy

PLACEMENTS = 60_000
"""Single placements that squeezing may spend: about a second and a half."""


@strategy("layout", "auto", source="best fit lands within 0.2 % of the live peak on training steps (DESIGN, measured)")
def auto(lifetimes: tuple[Lifetime, ...]) -> Layout:
    """Best fit; while it lies above the live peak, squeezed by placing first what did not fit.

    | the arena of best fit is above the live peak by | what happens                                 |
    |-------------------------------------------------|----------------------------------------------|
    | less than 1/2048                                | it is kept                                   |
    | more                                            | limits from 1/2048 to 1/32 above are tried   |
    """
    return squeezed(lifetimes, best_fit(lifetimes), PLACEMENTS)
