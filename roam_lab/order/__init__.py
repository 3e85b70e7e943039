"""Orders: one strategy a file, each a pure function of a graph."""

from roam_lab.order import auto, captured, list_scheduling

__all__ = ["auto", "captured", "list_scheduling"]
