"""Orders: one strategy a file, each a pure function of a graph; the registry imports every file here."""
