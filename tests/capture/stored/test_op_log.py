"""An op log as JSON and back."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from roam_lab.capture import TrainingStep, as_step
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.op_log import log_from_data, log_to_data
from roam_lab.ir.op_log import LoggedOp, OpLog
from roam_lab.measure.eager import record


def loss(model, batch):
    out = model(batch).float()
    return out.square().mean() if out.max().item() < 100 else out.mean()


def test_the_log_of_a_step_comes_back():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    training = TrainingStep(model, torch.optim.Adam(model.parameters()), as_step(loss))
    log = record(training, torch.randn(3, 4)).log
    back = log_from_data(json.loads(json.dumps(log_to_data(log))))
    assert back.ops == tuple(replace(op, source=None) for op in log.ops)
    assert any(isinstance(op.answer, float) for op in back.ops)


def test_numbers_come_back_bit_by_bit():
    op = LoggedOp("aten.mul.Scalar", (), (float("inf"), -0.0, 0.1 + 0.2, True, 2**70, None, "cpu", 1j), ())
    [back] = log_from_data(json.loads(json.dumps(log_to_data(OpLog((op,)))))).ops
    assert repr(back.constants) == repr(op.constants)


def test_what_cannot_be_kept_is_told():
    with pytest.raises(NotStoredError):
        log_to_data(OpLog((LoggedOp("aten.add.Tensor", (), (object(),), ()),)))


@pytest.mark.parametrize("data", [{}, {"tensors": [], "ops": [["aten.add.Tensor", [0], [], [], None, False]]}])
def test_data_of_another_form_is_not_read(data):
    with pytest.raises(LookupError):
        log_from_data(data)
