"""Rewriting graphs: ops run in place, fused or again, storages copied to the host. One strategy a file, each a pure
function of a graph and goals that returns points of extra time and live peak."""
