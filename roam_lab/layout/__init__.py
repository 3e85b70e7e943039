"""Layouts: one strategy a file, each a pure function of lifetimes."""

from roam_lab.layout import auto, best_fit, caching_allocator

__all__ = ["auto", "best_fit", "caching_allocator"]
