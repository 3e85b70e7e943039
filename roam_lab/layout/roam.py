"""ROAM's layout: activations stacked like brackets across the waist, temporaries above and between."""

from __future__ import annotations

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.best_fit import SORTINGS, best_fit
from roam_lab.layout.brackets import STACKINGS, place_around, stack
from roam_lab.layout.squeeze import squeezed
from roam_lab.registry import strategy

CLOSE = 2048
"""A layout within 1/CLOSE of the live peak, below which no arena can be, is good enough."""

PLACEMENTS = 60_000
"""Single placements that a layout without brackets may take: about a second and a half."""


@strategy("layout", "roam", source="ROAM (Shu et al., arXiv 2310.19295), in our reading: layout across the waist")
def roam(lifetimes: tuple[Lifetime, ...]) -> Layout:
    """Activations stacked like brackets from the low end, each pair on the one outside it; temporaries best-fit around.

    The waist between forward and backward is the step that most bytes, weighed by length of life, cross. What lives
    there is stacked without a gap: where lifetimes nest, all below the stack's top stays full at every step. Three
    stackings (they differ where lifetimes do not nest) and four sequences of best fit for the rest are tried until one
    lies within 1/2048 of the live peak. If none does, best fit without brackets is tried and mended, too (layout
    auto); the smallest arena is kept, ties go to brackets. In the paper leaves are laid out by ILP and merged;
    measured on training steps, best fit around the brackets meets the live peak without it.
    """
    floor = int(lifetimes_curve(lifetimes).max(initial=0))
    good = floor + floor // CLOSE
    best: Layout | None = None
    for stacking in STACKINGS:
        fixed = stack(lifetimes, stacking)
        loose = [life for life in lifetimes if life.storage not in fixed]
        for sorting in SORTINGS.values():
            limit = None if best is None else best.arena_bytes - 1
            placed = place_around(lifetimes, fixed, sorted(loose, key=sorting), limit)
            if isinstance(placed, Layout):
                best = placed
                if best.arena_bytes <= good:
                    return best
    free = squeezed(lifetimes, best_fit(lifetimes), PLACEMENTS)
    return best if best is not None and best.arena_bytes <= free.arena_bytes else free
