"""The layout strategy `roam`, after ROAM: saved activations stacked by lifetime, temporaries above and between them."""

from __future__ import annotations

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.best_fit import SORTINGS, best_fit, place
from roam_lab.layout.brackets import STACKINGS, stack
from roam_lab.layout.squeeze import squeezed
from roam_lab.registry import strategy

CLOSE = 2048
"""A layout within 1/CLOSE of the live peak, below which no arena can be, is good enough."""

PLACEMENTS = 60_000
"""How many buffers a layout without brackets may place: about a second and a half."""


@strategy("layout", "roam", source="ROAM (Shu et al., arXiv 2310.19295), in our reading: layout across the waist")
def roam(lifetimes: tuple[Lifetime, ...]) -> Layout:
    """Saved activations stacked from offset 0 by lifetime, the longest lowest, like brackets; best fit for all others.

    The *waist* is the step between forward and backward: the one with the most live bytes, each weighted by its
    storage's length of life. Storages that live at the waist are stacked without a gap; where their lifetimes nest, the
    stack is full up to its top at every step. Three ways to sort the stack (they differ where lifetimes do not nest)
    and four sequences of best fit for the rest are tried until an arena lies within 1/2048 of the live peak. If none
    does, best fit without a stack is tried and mended, too (layout auto); the smallest arena is kept, and on ties one
    with a stack. The paper solves the leaves of its tree by ILP and merges their layouts; measured on training steps,
    best fit around the stack meets the live peak without that.
    """
    floor = int(lifetimes_curve(lifetimes).max(initial=0))
    good = floor + floor // CLOSE
    best: Layout | None = None
    for stacking in STACKINGS:
        stacked = stack(lifetimes, stacking)
        loose = [life for life in lifetimes if life not in stacked]
        for sorting in SORTINGS.values():
            limit = None if best is None else best.arena_bytes - 1
            placed = place(sorted(loose, key=sorting), limit, stacked)
            if isinstance(placed, Layout):
                best = placed
                if best.arena_bytes <= good:
                    return best
    free = squeezed(lifetimes, best_fit(lifetimes), PLACEMENTS)
    return best if best is not None and best.arena_bytes <= free.arena_bytes else free
