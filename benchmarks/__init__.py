"""Benchmarks: scripts that are run one by one, and the driver of the CUDA benchmark (`python -m benchmarks.cuda`)."""
