"""Dominant schedules: profiles, their merging, series-parallel parts, and the search that is left."""
