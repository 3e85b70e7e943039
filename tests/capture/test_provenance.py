"""Phase, module path and the user's source line of every op: forward, backward and update."""

import inspect
import os
import sysconfig

import pytest
import torch
from torch import nn

from roam_lab.capture import as_step, capture_step
from roam_lab.capture.user_lines import is_user_file, traceback_user_line
from tests.zoo import STEPS, adamw, tiny
from tests.zoo_training import clipped_step

HERE = "tests/capture/test_provenance.py"


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        x = self.linear(x)
        x = torch.tanh(x)  # line A
        return torch.exp(x)  # line B


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Inner()
        self.layers = nn.ModuleList([Inner()])

    def forward(self, x):
        return self.layers[0](self.first(x)) * 2  # line C


def loss(model, batch):
    return model(batch).sum()  # line D


def line(function, text):
    lines, start = inspect.getsourcelines(function)
    return f"{HERE}:{start + next(i for i, found in enumerate(lines) if text in found)}"


@pytest.fixture(scope="module")
def ops():
    model = Outer()
    return capture_step(model, adamw(model.parameters()), torch.randn(2, 4), as_step(loss)).graph.ops


def places(ops, target, phase):
    return [(op.module, op.source) for op in ops if op.target == target and op.phase == phase]


def test_forward(ops):
    assert places(ops, "aten.tanh.default", "forward") == [
        ("first", line(Inner, "line A")),
        ("layers.0", line(Inner, "line A")),
    ]
    assert places(ops, "aten.exp.default", "forward")[0] == ("first", line(Inner, "line B"))
    assert places(ops, "aten.addmm.default", "forward")[1] == ("layers.0.linear", line(Inner, "self.linear(x)"))
    assert places(ops, "aten.mul.Tensor", "forward") == [("", line(Outer, "line C"))]
    assert places(ops, "aten.sum.default", "forward") == [("", line(loss, "line D"))]


def test_backward_has_the_place_of_its_forward(ops):
    assert places(ops, "aten.tanh_backward.default", "backward") == [
        ("layers.0", line(Inner, "line A")),
        ("first", line(Inner, "line A")),
    ]
    assert places(ops, "aten.mul.Tensor", "backward") == [
        ("", line(Outer, "line C")),
        ("layers.0", line(Inner, "line B")),
        ("first", line(Inner, "line B")),
    ]
    weights = [place for place in places(ops, "aten.mm.default", "backward") if place[0] == "first.linear"]
    assert weights == [("first.linear", line(Inner, "self.linear(x)"))]


def test_backward_of_the_last_op_is_not_lost_to_what_follows_it():
    """The gradient of one is made, by an op without an autograd node, right after the loss."""
    model, batch, _ = tiny()
    ops = capture_step(model, adamw(model.parameters()), batch).graph.ops
    forward = places(ops, "aten.nll_loss_forward.default", "forward")
    assert forward[0][1].startswith("tests/zoo.py:")
    assert places(ops, "aten.nll_loss_backward.default", "backward") == forward


def test_update_is_of_no_module_and_of_the_users_line():
    model, batch, _ = tiny()
    ops = capture_step(model, adamw(model.parameters()), batch, clipped_step).graph.ops
    update = [op for op in ops if op.phase == "update"]
    own = inspect.getsourcelines(clipped_step)
    expected = (
        f"tests/zoo_training.py:{own[1] + next(i for i, text in enumerate(own[0]) if 'optimizer.step()' in text)}"
    )
    assert {(op.module, op.source) for op in update} == {("", expected)}
    assert {op.target for op in update} >= {"aten.addcdiv_.default", "aten.lerp_.Scalar"}


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_op_has_a_phase_in_order(name):
    model, batch, _ = tiny()
    found = capture_step(model, adamw(model.parameters()), batch, STEPS[name]).graph.ops
    assert {op.phase for op in found} == {"forward", "backward", "update"}
    first = min(index for index, op in enumerate(found) if op.phase == "update")
    assert all(op.phase == "update" for op in found[first:] if op.target.endswith("addcdiv_.default"))
    assert all(op.source for op in found if op.phase != "backward")


def test_whose_files_are_the_users():
    assert is_user_file(os.path.abspath(__file__))
    assert not is_user_file(torch.nn.functional.__file__)
    assert not is_user_file(os.path.join(sysconfig.get_path("scripts"), "roam"))  # the command itself
    assert not is_user_file(inspect.getfile(capture_step))
    assert not is_user_file("<string>")


def test_innermost_line_of_a_traceback():
    def inner():
        return torch.ones(2) @ torch.ones(3)

    with pytest.raises(RuntimeError) as raised:
        inner()
    assert traceback_user_line(raised.value.__traceback__) == line(inner, "torch.ones")
    assert traceback_user_line(None) is None
