"""Where autograd moves data in other ways while it is traced, the guide finds back to the log."""

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import as_step
from roam_lab.capture.moves import has_effect, is_view, moves, writes
from roam_lab.runtime.identity import digests


class Viewed(nn.Module):
    """Writes into what views were taken of: eager reaches their gradients by `as_strided`."""

    def __init__(self, act):
        super().__init__()
        self.first, self.second, self.norm, self.act = nn.Linear(6, 6), nn.Linear(6, 6), nn.BatchNorm1d(6), act

    def forward(self, x):
        return self.act(self, self.first(x)).pow(2).mean()


def base_written(model, y):
    view = y.view(-1, 2, 3).permute(1, 0, 2)
    y.mul_(model.second.weight[0])
    return view * model.second.bias[:3]


def slice_written(model, y):
    part = y[:, 1:4]
    scaled = part.transpose(0, 1)
    part.div_(2).add_(model.second.bias[1:4])
    return scaled * 3


def filled_row_by_row(model, y):
    out = torch.zeros_like(y).unsqueeze(1).transpose(1, 2)
    state = y[0]
    for index in range(len(y)):
        state = state * model.second.bias + y[index]
        out[index, :, 0] = state
    return model.second(out[:, :, 0]) + out[:, :, 0].flip(0)


def diagonal_written(model, y):
    square = (y[:4, :4] @ y[:4, :4].t()).clone()
    square.diagonal().mul_(model.second.bias[:4])
    return square + square.tril(-1).t()


def statistics_alone(model, y):
    model.norm(y.detach())  # what it returns is not used; its statistics are kept
    return y


ACTS = [base_written, slice_written, filled_row_by_row, diagonal_written, statistics_alone]


@pytest.mark.parametrize("act", ACTS)
def test_the_planned_steps_are_eagers(act):
    def trained(hooked):
        torch.manual_seed(0)
        model, batch = Viewed(act), torch.randn(5, 6)
        optimizer = torch.optim.AdamW(model.parameters())
        loss = lambda model, batch: model(batch)  # noqa: E731
        if hooked:
            plan = roam.profile(model, batch, optimizer, loss=loss).plan()
            step = roam.hook(plan, model, optimizer, loss=loss, on_mismatch="error")
        else:
            step = lambda batch: as_step(loss)(model, optimizer, batch)  # noqa: E731
        return [step(batch).item() for _ in range(3)], digests(model, optimizer)

    assert trained(hooked=True) == trained(hooked=False)


@pytest.mark.parametrize(
    ("target", "forward", "backward"),
    [
        ("aten.select.int", True, True),
        ("aten.copy_.default", False, True),
        ("aten.slice_backward.default", False, True),
        ("aten.mul.Tensor", False, False),
        ("aten.add_.Tensor", False, False),
        ("aten.sum.dim_IntList", False, False),
    ],
)
def test_what_only_moves_data(target, forward, backward):
    assert (moves(target, False), moves(target, True)) == (forward, backward)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("aten.native_batch_norm.default", True),
        ("aten.batch_norm_update_stats.default", True),
        ("aten.native_batch_norm_backward.default", False),
        ("aten.add_.Tensor", True),
        ("aten.bernoulli.p", True),
        ("aten.mul.Tensor", False),
    ],
)
def test_what_must_stay_though_nothing_reads_its_result(target, message):
    assert has_effect(target) is message


def test_views_and_writes_by_name():
    assert is_view("aten.transpose.int")
    assert not is_view("aten.nothing.default")
    assert writes("aten.zero_.default")
    assert not writes("aten.clone.default")
