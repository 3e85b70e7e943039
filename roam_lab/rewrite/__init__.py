"""Rewriting: in place, fused, recomputed. One strategy a file, pure Graph -> Rewritten, on flat arrays of the graph."""
