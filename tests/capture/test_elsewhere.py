"""Where tensors lie, and steps on devices that are not there."""

import pytest
import torch
from torch import nn

from roam_lab.capture import capture_step
from roam_lab.capture.nodes import is_on
from roam_lab.errors import DeviceError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_step_on_cuda_is_refused_where_there_is_none():
    """A build of torch for the CPU would end the process: autograd finds no device."""
    model = nn.Linear(3, 2, device="meta")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(DeviceError, match="torch finds no CUDA device on this machine"):
        capture_step(model, optimizer, torch.empty(5, 3, device="meta"), device="cuda")


def test_what_lies_on_a_device():
    here = torch.empty(1, device="meta")
    assert is_on(here, torch.device("meta"))
    assert not is_on(here, torch.device("cpu"))
    assert is_on(torch.empty(1), torch.device("cpu"))
    assert not is_on(torch.empty(1), torch.device("cpu", 1))
