"""Layouts: one strategy a file, each a pure function of lifetimes."""

from roam_lab.layout import auto, best_fit

__all__ = ["auto", "best_fit"]
