"""LLFB: longest lifetime first, best fit over the skyline."""

from __future__ import annotations

from roam_lab.ir import Layout, Lifetime
from roam_lab.layout.best_fit import SORTINGS
from roam_lab.layout.packing.skyline import Skyline
from roam_lab.registry import strategy


@strategy("layout", "llfb", source="Sekiyama et al., arXiv 1804.10001, section 3.2: the rival that ROAM is measured by")
def llfb(lifetimes: tuple[Lifetime, ...]) -> Layout:
    """LLFB: on the lowest stretch of the skyline, the buffer of the longest lifetime that fits there.

    Of several lowest stretches the earliest is taken; where no buffer lives within it, it is lifted to its lower
    neighbour. Of buffers that live equally long the larger goes first, then the earlier. (The best fit for
    strip packing of Burke et al. 2004, with the lifetime as width and its place in time given.)
    """
    line = Skyline(lifetimes)
    offsets = line.lay(line.ranked(SORTINGS["decreasing lifetime"]), walls=False)
    assert offsets is not None  # no deadline
    return line.layout(offsets)
