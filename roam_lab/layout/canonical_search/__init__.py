"""Machinery of the canonical search: instance, compiled depth-first search, search for the least capacity."""
