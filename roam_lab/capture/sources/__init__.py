"""What a training step reads and changes, one file a kind: how it becomes an input, and how it is found again."""
