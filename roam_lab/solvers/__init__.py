"""The only files that import numba, PuLP with its solvers, and OR-tools' flows; all others go through these."""
