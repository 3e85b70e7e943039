"""What the strategy `roam` is made of: independent segments, weight updates, the tree of tasks, and its leaves."""
