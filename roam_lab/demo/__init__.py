"""`roam demo`: what roam-lab does, shown on a model of its own."""
