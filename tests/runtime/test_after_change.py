"""After a change a compiled step is kept, made again, or left with a reason; eager steps say what is right."""

import copy
import enum
import warnings

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import as_step, capture_step
from roam_lab.errors import MismatchError, RoamWarning
from roam_lab.plan import make_plan
from roam_lab.runtime import after_change, step_compiler
from roam_lab.runtime.identity import digests
from tests.twins import sampled


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.drop = nn.Linear(3, 2), nn.Dropout(0.2)
        self.scale, self.note, self.kind = 2.0, "none", "squared"

    def forward(self, x):
        y = self.drop(self.layer(x)) * self.scale
        return y.pow(2).mean() if self.kind == "squared" else y.abs().mean()


class Life:
    """A hooked model that has trained one step, and its twin that trains eagerly."""

    def __init__(self, on_mismatch="eager"):
        torch.manual_seed(0)
        self.twin = Scaled()
        model = copy.deepcopy(self.twin)
        loss = as_step(lambda model, batch: model(batch))
        self.twins_optimizer = torch.optim.AdamW(self.twin.parameters())
        optimizer = torch.optim.AdamW(model.parameters())
        plan = make_plan(capture_step(model, optimizer, torch.randn(5, 3), loss).graph)
        self.hooked = roam.hook(plan, model, optimizer, loss=lambda model, batch: model(batch), on_mismatch=on_mismatch)
        self.eager = lambda batch: loss(self.twin, self.twins_optimizer, batch)
        self.batches = torch.Generator().manual_seed(1)
        self.train()

    def change(self, change):
        change(self.hooked.model)
        change(self.twin)

    def train(self):
        """One step each; both must leave the same."""
        batch, state = torch.randn(5, 3, generator=self.batches), torch.get_rng_state()
        self.eager(batch)
        torch.set_rng_state(state)
        self.hooked(batch)
        assert digests(self.hooked.model, self.hooked.optimizer) == digests(self.twin, self.twins_optimizer)

    def counts(self):
        return self.hooked.planned_steps, self.hooked.eager_steps


def setting(name, value):
    return lambda model: setattr(model, name, value)


def test_a_value_that_the_step_does_not_read_is_looked_at_once(monkeypatch):
    life = Life()
    captures, capture = [], step_compiler.capture_step
    monkeypatch.setattr(step_compiler, "capture_step", lambda *a, **k: captures.append(1) or capture(*a, **k))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for note in ("one", "two", "three"):
            life.change(setting("note", note))
            life.train()
    assert (life.counts(), len(captures)) == (
        (4, 0),
        4,
    )  # as it is, and with None, a probe and another text in its place


def test_all_that_changed_is_looked_at_together(monkeypatch):
    """A scheduler that the step calls, a log that it fills, a note of the user's, a name in the batch: one question."""

    def losses(hooked):
        torch.manual_seed(0)
        model = Scaled()
        model.losses = []
        optimizer = torch.optim.AdamW(model.parameters())
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

        def step(model, optimizer, batch):
            loss = model(batch["x"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            model.losses.append(loss.item())
            return loss.detach()

        batches = [{"x": torch.randn(5, 3), "name": f"batch {index}"} for index in range(4)]
        run = lambda batch: step(model, optimizer, batch)  # noqa: E731
        if hooked:
            run = roam.hook(roam.profile(model, batches[0], optimizer, step=step).plan(), model, optimizer, step=step)
        torch.manual_seed(1)
        found = []
        for index, batch in enumerate(batches):
            found.append(float(run(batch)))
            model.note = f"after {index}"
        assert not hooked or run.planned_steps == 4, run.reasons
        return found, model.losses

    eager = losses(hooked=False)
    captures, capture = [], step_compiler.capture_step
    monkeypatch.setattr(step_compiler, "capture_step", lambda *a, **k: captures.append(1) or capture(*a, **k))
    assert losses(hooked=True) == eager
    assert len(captures) == 5  # for the first batch; with a probe, None, as it is, and another of its type


def test_what_was_looked_at_is_forgotten_beyond_a_limit(monkeypatch):
    monkeypatch.setattr(after_change, "MOST_REMEMBERED", 2)
    life = Life()
    for number in range(3):
        life.change(setting(f"note {number}", number))
        life.train()
    assert life.counts() == (4, 0)
    assert len(life.hooked._after_change._read) <= 2


def doubled_if(condition):
    return lambda model, x: model.layer(x).pow(2).mean() * (2 if condition(model) else 1)


def test_a_value_that_did_not_matter_once_may_matter_later(monkeypatch):
    """The first changes lead to the same step, the third does not."""
    monkeypatch.setattr(Scaled, "forward", doubled_if(lambda model: model.kind == "log"))
    life = Life()
    for kind in ("abs", "absolute"):
        life.change(setting("kind", kind))
        life.train()
    assert life.counts() == (3, 0)
    life.change(setting("kind", "log"))
    with pytest.warns(RoamWarning, match="model.kind was 'absolute' and is 'log' now"):
        life.train()
    life.change(setting("kind", "absolute"))
    life.train()
    assert life.counts() == (4, 1)


class Mode(enum.Enum):
    ONE, TWO, THREE = range(3)


@pytest.mark.parametrize(
    ("name", "values", "gate"),
    [
        ("kind", [Mode.ONE, Mode.TWO, Mode.THREE], lambda model: model.kind is Mode.THREE),
        ("note", [False, 1, True], lambda model: model.note is True),
        pytest.param("kind", [nn.ReLU, nn.GELU, nn.Tanh], lambda model: model.kind is nn.Tanh, marks=pytest.mark.slow),
        pytest.param("scale", ["a", "b", 7], lambda model: type(model.scale) is int, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
def test_what_is_told_by_identity_or_type(monkeypatch, name, values, gate):
    monkeypatch.setattr(Scaled, "forward", doubled_if(gate))
    life = Life()
    for value in (*values, values[0], values[2]):
        life.change(setting(name, value))
        life.train()
    assert life.counts()[0] >= 3


@pytest.mark.parametrize("typed", [False, True])
def test_a_gate_of_a_number_that_the_user_sets(monkeypatch, typed):
    """`typed`: what looks at the type takes neither None nor a probe for a number."""
    gate = lambda model: (not typed or type(model.scale) is float) and model.scale > 4  # noqa: E731
    monkeypatch.setattr(Scaled, "forward", doubled_if(gate))
    life = Life()
    for epoch in (3.0, 4.0, 5.0, 6.0, 1.0):
        life.change(setting("scale", epoch))
        life.train()
    assert life.counts() == (6, 0)


def test_values_that_lead_to_the_same_step_are_captured_for_a_few_times():
    life = Life()
    for number in range(after_change.MOST_VALUES + 3):
        life.change(setting("kind", f"kind {number}"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            life.train()
    assert life.hooked.eager_steps >= 2
    assert list(life.hooked.reasons) == ["model.kind has changed since the step was captured"]


@pytest.mark.parametrize("on_mismatch", ["eager", "error", "replan"])
def test_a_number_that_the_user_changes_becomes_an_input(on_mismatch):
    life = Life(on_mismatch)
    for scale in (3.0, 4.0, 2.0):
        life.change(setting("scale", scale))
        life.train()
    assert (life.counts(), life.hooked.reasons) == ((4, 0), {})


@pytest.mark.parametrize("on_mismatch", ["eager", "error", "replan"])
def test_a_tensor_that_was_replaced_is_captured_again(on_mismatch):
    life = Life(on_mismatch)

    def replace(model):
        with torch.no_grad():
            model.layer.weight.data = model.layer.weight.detach() * 0.5

    life.change(replace)
    life.train()
    assert (life.counts(), life.hooked.reasons) == ((2, 0), {})


def test_another_step_is_run_eagerly_with_a_reason():
    life = Life()
    life.change(setting("kind", "absolute"))
    with pytest.warns(RoamWarning, match=r"model\.kind was 'squared' and is 'absolute' now"):
        life.train()
    assert life.hooked.reasons == {"model.kind has changed since the step was captured": 1}
    life.change(setting("kind", "squared"))
    life.train()
    assert life.counts() == (2, 1)


def test_another_step_is_planned_with_replan_and_an_error_where_that_is_wanted():
    life = Life("replan")
    life.change(setting("kind", "absolute"))
    life.train()
    assert (life.counts(), life.hooked.reasons) == ((2, 0), {})
    life = Life("error")
    life.change(setting("kind", "absolute"))
    with pytest.raises(MismatchError, match=r"model\.kind was 'squared' and is 'absolute' now"):
        life.train()


class Counted(Scaled):
    """Counts its calls, and holds a tensor in a tuple."""

    def __init__(self):
        super().__init__()
        self.calls, self.held, self.table = 0, (torch.ones(2),), {"weight": 1.0}

    def forward(self, x):
        self.calls += 1
        y = self.drop(self.layer(x)) * self.scale * self.held[0] * self.table["weight"]
        return y.pow(2).mean() if self.kind == "squared" else y.abs().mean()


BESIDE = {
    "a number": lambda model: setattr(model, "scale", 3.0),
    "a word": lambda model: setattr(model, "kind", "absolute"),
    "a tensor in a tuple": lambda model: setattr(model, "held", (torch.full((2,), 5.0),)),
    "an entry": lambda model: model.table.update(weight=4.0),
    "of a module below": lambda model: setattr(model.drop, "p", 0.9),
    "a hook": lambda model: model.layer.register_forward_hook(lambda module, given, result: result * 2),
}


@pytest.mark.parametrize("change", sampled(BESIDE.values(), 1), ids=BESIDE)
@pytest.mark.parametrize("check", [pytest.param("first", marks=pytest.mark.slow), "never"])
def test_a_counter_leaves_what_lies_beside_it_guarded(change, check):
    """The step changes one attribute of the model itself; the user changes another."""

    def losses(hooked):
        torch.manual_seed(0)
        model, batch = Counted(), torch.randn(5, 3)
        optimizer, loss = torch.optim.AdamW(model.parameters()), lambda model, batch: model(batch)
        step = lambda batch: as_step(loss)(model, optimizer, batch)  # noqa: E731
        if hooked:
            plan = roam.profile(model, batch, optimizer, loss=loss).plan()
            step = roam.hook(plan, model, optimizer, loss=loss, check=check)
        torch.manual_seed(1)
        found = [step(batch).item() for _ in range(3)]
        assert not hooked or step.planned_steps >= 2, step.reasons
        change(model)
        return found + [step(batch).item() for _ in range(3)], model.calls

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RoamWarning)
        assert losses(hooked=True) == losses(hooked=False)


def test_an_update_that_is_skipped_leaves_its_gradients():
    """For once; later steps clear them."""
    torch.manual_seed(0)
    model, batch = nn.Linear(3, 2), torch.randn(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = model(batch).pow(2).mean()
        loss.backward()
        if torch.isfinite(loss):
            optimizer.step()
        return loss.detach()

    hooked = roam.hook(roam.profile(model, batch, optimizer, step=step).plan(), model, optimizer, step=step)
    for index in range(6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RoamWarning)
            hooked(batch * float("inf") if index == 2 else batch)
        assert (model.weight.grad is not None) == (index == 2)
    assert (hooked.planned_steps, hooked.eager_steps) == (6, 0), hooked.reasons
