"""A trace made again with what the one before has shown."""

import functools

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import graph_module
from torch.fx.experimental import symbolic_shapes

import roam_lab as roam
from roam_lab.capture import as_step, capture_step, torch_internals
from roam_lab.errors import FirstStepError
from roam_lab.plan import make_plan
from roam_lab.runtime.identity import digests


class Chosen(nn.Module):
    """Settles in its first forward what kind of loss it has, as image classifiers of transformers do."""

    def __init__(self, keeps_tensor=False):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.kind = None
        self.choices = {"made": None}
        self.mask = None
        self.keeps_tensor = keeps_tensor

    def forward(self, x):
        if self.kind is None:
            self.kind = "squared"
            self.choices["scale"] = 3.0
        if self.keeps_tensor and self.mask is None:
            self.mask = x > 0
        y = self.layer(x) * self.choices["scale"]
        return y.pow(2).mean() if self.kind == "squared" else y.mean()


@pytest.mark.parametrize("check", ["first", "never"])
def test_a_plain_value_of_the_first_step_is_taken_for_made_and_taken_back(check):
    """For a plan. A step that runs has to make it."""
    torch.manual_seed(0)
    model, batch = Chosen(), torch.randn(4, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    graph = capture_step(model, optimizer, batch, as_step(lambda model, batch: model(batch))).graph
    assert model.kind is None
    assert model.choices == {"made": None}
    twin = Chosen()
    twin.load_state_dict(model.state_dict())
    other = torch.optim.AdamW(twin.parameters())
    hooked = roam.hook(make_plan(graph), model, optimizer, loss=lambda model, batch: model(batch), check=check)
    hooked.prepare(batch)
    assert model.kind is None
    with pytest.warns(roam.RoamWarning, match="first step"):
        first = hooked(batch)
    for loss in (first, hooked(batch), hooked(batch)):
        other.zero_grad()
        expected = twin(batch)
        expected.backward()
        other.step()
        assert torch.equal(loss, expected)
    assert (hooked.planned_steps, hooked.eager_steps) == (2, 1)
    assert digests(model, optimizer) == digests(twin, other)
    assert (model.kind, model.choices) == (twin.kind, twin.choices)


def test_verify_takes_the_first_step_eagerly():
    torch.manual_seed(0)
    model, batch = Chosen(), torch.randn(4, 3)
    optimizer, loss = torch.optim.AdamW(model.parameters()), lambda model, batch: model(batch)
    plan = roam.profile(model, batch, optimizer, loss=loss).plan()
    found = roam.verify(plan, model, optimizer, batch, loss=loss)
    assert found.identical
    assert list(found.reasons.values()) == [1]
    assert any(line.startswith("1 of 4 steps ran eagerly: the first step of its kind") for line in found.lines())
    assert model.kind is None


def test_a_tensor_of_the_first_step_needs_that_step():
    model = Chosen(keeps_tensor=True)
    with pytest.raises(FirstStepError, match=r"model\.mask"):
        capture_step(
            model,
            torch.optim.SGD(model.parameters()),
            torch.randn(4, 3),
            as_step(lambda model, batch: model(batch)),
        )
    assert model.kind is None
    assert model.choices == {"made": None}


def test_torch_keeps_little_of_a_trace(monkeypatch):
    """Neither its source, nor what makes symbols' lines known, nor without end what it knows of fakes."""

    def unwanted():
        raise AssertionError("torch looks for the user's line")

    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    function = as_step(lambda model, batch: model(batch).mean())
    monkeypatch.setattr(symbolic_shapes, "uninteresting_files", unwanted)
    sources = dict(graph_module._loader.eval_cache)
    capture_step(model, optimizer, torch.randn(4, 3), function)
    assert graph_module._loader.eval_cache == sources
    assert FakeTensorMode.cache
    monkeypatch.setattr(torch_internals, "_MOST_KNOWN_OF_FAKES", 1)
    capture_step(model, optimizer, torch.randn(4, 3), function)
    assert not FakeTensorMode.cache


@functools.lru_cache
def table(height, width):
    return torch.arange(float(height * width)).reshape(height, width)


def test_a_number_of_the_batch_that_has_to_be_hashed_is_a_constant_of_the_batch():
    def loss(model, batch):
        return (model(batch["x"]) * table(*batch["size"])).mean()

    def trained(hooked):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(model.parameters())
        batches = [{"x": torch.randn(4, 3), "size": (4, 2)} for _ in range(3)]
        step = lambda batch: as_step(loss)(model, optimizer, batch)  # noqa: E731
        if hooked:
            plan = roam.profile(model, batches[0], optimizer, loss=loss).plan()
            step = roam.hook(plan, model, optimizer, loss=loss, on_mismatch="error")
        return [step(batch).item() for batch in batches], digests(model, optimizer)

    assert trained(hooked=True) == trained(hooked=False)


def test_a_step_that_makes_an_entry_each_time_is_refused_after_few_traces():
    model, seen = nn.Linear(3, 2), {}

    def step(model, optimizer, batch):
        loss = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        seen[f"step {len(seen)}"] = True
        return loss

    with pytest.raises(FirstStepError, match=r"the step makes seen\['step [0-9]'\] in its first run and keeps it"):
        capture_step(model, torch.optim.SGD(model.parameters()), torch.randn(4, 3), step)
    assert seen == {}
