"""Ops that change a tensor's form in place are views in the graph, and refused on what stays."""

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import as_step, capture_step
from roam_lab.capture.views_in_place import view_of
from roam_lab.errors import CaptureError
from roam_lab.runtime.identity import digests

aten = torch.ops.aten


class Turned(nn.Module):
    """Turns, widens and narrows what an op has made; `stft` does so inside."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)
        self.register_buffer("window", torch.hann_window(4))

    def forward(self, x):
        y = self.layer(x) * 2
        y.transpose_(0, 1)
        z = y + y.cos()
        z.unsqueeze_(0).squeeze_()
        z.t_()
        sound = torch.stft(z.sum(0).repeat(4), 4, 2, window=self.window, return_complex=True)
        return (z @ z.t()).mean() + torch.view_as_real(sound).pow(2).mean()


def loss(model, batch):
    return model(batch)


def trained(hooked, check="never"):
    torch.manual_seed(0)
    model = Turned()
    optimizer, batches = torch.optim.AdamW(model.parameters()), torch.randn(4, 5, 6)
    step = lambda batch: as_step(loss)(model, optimizer, batch)  # noqa: E731
    if hooked:
        plan = roam.profile(model, batches[0], optimizer, loss=loss).plan()
        step = roam.hook(plan, model, optimizer, loss=loss, on_mismatch="error", check=check)
    return [step(batch).item() for batch in batches], digests(model, optimizer)


@pytest.mark.parametrize("check", ["never", "first"])
def test_the_planned_steps_are_eagers(check):
    assert trained(hooked=True, check=check) == trained(hooked=False)


@pytest.mark.parametrize(
    ("op", "view"),
    [
        (aten.transpose_.default, aten.transpose.int),
        (aten.t_.default, aten.t.default),
        (aten.squeeze_.dim, aten.squeeze.dim),
        (aten.squeeze_.default, aten.squeeze.default),
        (aten.unsqueeze_.default, aten.unsqueeze.default),
        (aten.as_strided_.default, aten.as_strided.default),
        (aten.resize_.default, None),
        (aten.set_.source_Tensor, None),
    ],
)
def test_the_view_of_an_op(op, view):
    assert torch.Tag.inplace_view in op.tags
    assert view_of(op) is view


def widened(model, batch):
    batch.unsqueeze_(0)
    return model(batch).mean()


def test_a_batch_that_is_given_another_form_is_refused():
    model = nn.Linear(6, 4)
    with pytest.raises(
        CaptureError, match=r"test_views_in_place.py:\d+: unsqueeze_ changes the shape .*; use unsqueeze,"
    ):
        capture_step(model, torch.optim.SGD(model.parameters()), torch.randn(5, 6), as_step(widened))
