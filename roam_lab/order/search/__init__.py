"""Exact search: what `exact` and `model_ilp` are made of; also called on parts of a graph."""
