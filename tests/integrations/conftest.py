"""What libraries leave in the process for good is taken away after each test."""

import os

import pytest
import torch.distributed as dist
from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def alone():
    """Lightning leaves process groups and their variables behind, and accelerate remembers what it has found once."""
    before = dict(os.environ)
    yield
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
    for name in {*os.environ} - {*before}:
        if name != "PYTEST_CURRENT_TEST":
            del os.environ[name]
    AcceleratorState._reset_state(reset_partial_state=True)
