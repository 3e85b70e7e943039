"""The stages: a module each, with `run(cell)`, which writes the lines of one cell."""
