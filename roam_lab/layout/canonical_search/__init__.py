"""Machinery of the strategy `canonical`: instance, compiled depth-first search, search for the least capacity."""
