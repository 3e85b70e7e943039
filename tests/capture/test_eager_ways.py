"""Functions of torch that ask whether they are given fakes go eager's way in a capture."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import roam_lab as roam
from roam_lab.capture import TrainingStep, as_step, capture_step
from roam_lab.errors import CaptureError
from roam_lab.measure.eager import record
from roam_lab.runtime.identity import digests


class Counting(nn.Module):
    """One row of weights for each token, by `one_hot`; its layer is moved to the type that it has."""

    def __init__(self, classes=-1):
        super().__init__()
        self.layer, self.classes = nn.Linear(5, 3), classes

    def forward(self, tokens):
        self.layer.to(torch.float32)
        return self.layer(functional.one_hot(tokens, self.classes).float()).pow(2).mean()


def loss(model, batch):
    return model(batch)


def trained(steps, hooked):
    torch.manual_seed(0)
    model = Counting(5)
    optimizer = torch.optim.AdamW(model.parameters())
    batches = [torch.tensor([[4, 0, 3]]), torch.tensor([[1, 1, 4]])]
    run = as_step(loss)
    if hooked:
        plan = roam.profile(model, batches[0], optimizer, loss=loss).plan()
        step = roam.hook(plan, model, optimizer, loss=loss, on_mismatch="error")
    else:
        step = lambda batch: run(model, optimizer, batch)  # noqa: E731
    losses = [step(batches[index % 2]).item() for index in range(steps)]
    return losses, digests(model, optimizer)


def test_one_hot_scatters_as_in_eager():
    model, batch = Counting(5), torch.tensor([[4, 0, 3]])
    optimizer, step = torch.optim.SGD(model.parameters()), as_step(loss)
    log = record(TrainingStep(model, optimizer, step), batch).log
    graph = capture_step(model, optimizer, batch, step, log=log).graph
    assert "aten.scatter_.value" in {op.target for op in graph.ops}
    assert torch.nn.functional.one_hot(torch.tensor([1]), 2).tolist() == [[0, 1]]


def test_without_a_log_the_values_are_not_known():
    model, batch = Counting(5), torch.tensor([[4, 0, 3]])
    graph = capture_step(model, torch.optim.SGD(model.parameters()), batch, as_step(loss)).graph
    assert any("scatter" in op.target or "eq" in op.target for op in graph.ops)


def test_the_planned_steps_are_eagers():
    assert trained(4, hooked=True) == trained(4, hooked=False)


class Told(nn.Module):
    """Makes a text of a count before it looks whether it is right, as models with several modes do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        count = (x > 0).any(1).sum()
        text = f"{count:3d} rows of {x.shape[0]}"
        if text.strip() != "3 rows of 3":
            return self.layer(x).pow(2).mean()
        return self.layer(x).mean()


def test_a_text_made_of_a_count_is_a_condition():
    """The text is eager's, and a batch with another count goes another way."""

    def trained_on(batches, hooked):
        torch.manual_seed(0)
        model = Told()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = lambda batch: as_step(loss)(model, optimizer, batch)  # noqa: E731
        if hooked:
            plan = roam.profile(model, batches[0], optimizer, loss=loss).plan()
            step = roam.hook(plan, model, optimizer, loss=loss, on_mismatch="error", check="never")
        return [step(batch).item() for batch in batches], digests(model, optimizer)

    full, short = torch.ones(3, 4), torch.ones(3, 4)
    short[1] = 0
    batches = [full, short, full, short]
    assert trained_on(batches, hooked=True) == trained_on(batches, hooked=False)


def test_a_text_made_of_a_loss_is_refused_as_a_log():
    def told(model, batch):
        value = model(batch).mean()
        print(f"loss {value:.3f}")
        return value

    model, batch, step = nn.Linear(4, 2), torch.randn(3, 4), as_step(told)
    optimizer = torch.optim.SGD(model.parameters())
    log = record(TrainingStep(model, optimizer, step), batch).log
    with pytest.raises(CaptureError, match=r"test_eager_ways.py:\d+: the step writes a number .* into a text"):
        capture_step(model, optimizer, batch, step, log=log)
