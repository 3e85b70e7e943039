"""PyTorch's CUDA caching allocator, simulated: its settings, its rules, and whole training runs on it."""
