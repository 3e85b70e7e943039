"""The one door each to numba, to PuLP and its solvers, and to OR-tools' flows."""
