"""ROAM's machinery: fewer and larger ops, independent segments, weight updates put back by memory, leaves solved."""
