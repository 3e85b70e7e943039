"""roam-lab: profile and optimize the memory of PyTorch training."""
