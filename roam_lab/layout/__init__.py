"""Layouts: one strategy a file, each a pure function of lifetimes; the registry imports every file here."""
