"""The judge of the situations finds every way to be wrong: steps that are wrong on purpose, one kind at a time."""

import collections
import itertools
import random

import numpy
import pytest
import torch
from torch import nn

import roam_lab as roam
from tests.situations import judge
from tests.situations.judge import Situation, compare
from tests.situations.models import classifier, data, mlp, stepping
from tests.situations.reachable import everything


@pytest.fixture(autouse=True)
def by_a_plan(monkeypatch):
    """Hooks that are wrong on purpose are judged alike, however the situations beside them are hooked."""
    monkeypatch.setattr(judge, "BY", "plan")


class Counts:
    planned_steps, eager_steps, reasons = 5, 0, {}


def wrongly(damage, counts=Counts):
    """A hook that runs the user's step and then does damage; it says that all was planned."""

    def hooking(made, fake, on_mismatch, options):
        class Step(counts):
            def __call__(self, batch):
                result = made.eager(batch)
                changed = damage(made, result)
                return result if changed is None else changed

        return Step()

    return hooking


SEEN = [0]


class Tally:
    __slots__ = ("count",)
    total = 0

    def __init__(self):
        self.count = 0


def make():
    SEEN[0], Tally.total = 0, 0
    model = nn.Sequential(mlp(), nn.BatchNorm1d(4))
    model.seen = 0
    tally, log, at, draws = Tally(), collections.deque(), itertools.count(), numpy.random.default_rng(0)

    def after(loss):
        SEEN[0] += 1
        Tally.total += 1
        tally.count += 1
        model.seen += 1
        log.append(loss.item())
        next(at)
        draws.random()

    return classifier(model, step=stepping(after), others={"ema": mlp()}, extra=lambda: {"log": list(log)})


def shift(tensor):
    with torch.no_grad():
        tensor.add_(1e-6)


DAMAGE = {
    "parameter": lambda made, _: shift(made.model[0][0].weight),
    "buffer": lambda made, _: shift(made.model[1].running_mean),
    "state": lambda made, _: shift(made.optimizer.state[made.model[0][0].weight]["momentum_buffer"]),
    "group": lambda made, _: made.optimizer.param_groups[0].update(lr=0.02),
    "attribute": lambda made, _: setattr(made.model, "seen", 0),
    "ema": lambda made, _: shift(made.others["ema"][0].weight),
    "gradient": lambda made, _: setattr(made.model[0][0].weight, "grad", torch.zeros(24, 12)),
    "random state of torch": lambda *_: torch.rand(1) and None,
    "random state of NumPy": lambda *_: numpy.random.rand() and None,
    "random state of Python": lambda *_: random.random() and None,
    "global": lambda *_: SEEN.__setitem__(0, 7),
    "class": lambda *_: setattr(Tally, "total", 7),
    "requires_grad": lambda made, _: setattr(made.model[0][0].bias, "requires_grad", False),
    "training": lambda made, _: made.model[1].eval() and None,
    "default dtype": lambda *_: torch.set_default_dtype(torch.float64),
    "result": lambda _, result: result + 1e-6,
}


def in_closure(made, _):
    """Whatever the step counts in its closure, counted once more."""
    for cell in made.step.__closure__[0].cell_contents.__closure__:
        if isinstance(cell.cell_contents, Tally):
            cell.cell_contents.count += 1
        elif isinstance(cell.cell_contents, itertools.count):
            next(cell.cell_contents)
        elif isinstance(cell.cell_contents, numpy.random.Generator):
            cell.cell_contents.random()


DAMAGE["closure"] = in_closure


def test_equal_runs_are_planned():
    compare(make, hooking=wrongly(lambda *_: None)).must_be({"planned"})


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found(kind):
    verdict = compare(make, hooking=wrongly(DAMAGE[kind]))
    verdict.must_be({"different"})
    with pytest.raises(AssertionError, match="different"):
        verdict.must_be({"planned"})


def test_closure_damage_is_told_by_place():
    told = "\n".join(compare(make, hooking=wrongly(in_closure)).told)
    for place in (".tally.count", ".at.next", ".draws.state"):
        assert place in told


def test_a_result_that_changes_later_is_found():
    arena = torch.zeros(())

    def reused(_, result):
        arena.copy_(result)
        return arena

    told = compare(make, hooking=wrongly(reused)).must_be({"different"}).told
    assert any(line.startswith("what step 0 returned, now") for line in told)


def test_eager_steps_need_reasons():
    class Silent(Counts):
        planned_steps, eager_steps = 0, 5

    class Told(Silent):
        reasons = {"the batch is smaller": 5}  # noqa: RUF012

    class Lost(Counts):
        planned_steps = 3

    def same(*_):
        return None

    assert compare(make, hooking=wrongly(same, Silent)).outcome == "silently eager"
    assert compare(make, hooking=wrongly(same, Told)).outcome == "eager"
    assert compare(make, hooking=wrongly(same, Told), variants=5).outcome == "planned"
    assert compare(make, hooking=wrongly(same, Lost)).outcome == "miscounted"


def test_a_refusal_leaves_all_as_it_was():
    def clean(made, *_):
        raise roam.CaptureError("no")

    def halfway(made, *_):
        made.eager(made.batch(0))
        raise roam.CaptureError("no")

    def with_fakes(made, *_):
        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode():
            made.model.left = torch.zeros(3)
        raise roam.CaptureError("no")

    def breaking(made, *_):
        del made.model[0]
        raise roam.CaptureError("no")

    def two_lines(made, *_):
        raise roam.CaptureError("no\nno")

    assert compare(make, hooking=clean).outcome == "refused"
    for hooking in (halfway, with_fakes, breaking, two_lines):
        assert compare(make, hooking=hooking).outcome == "broken after refusal", hooking
    assert any("FakeTensor" in line for line in compare(make, hooking=with_fakes).told)


def test_other_exceptions_are_tracebacks():
    def broken(*_):
        raise KeyError("Parameter")

    assert compare(make, hooking=broken).outcome == "traceback"


def test_a_users_own_exception_is_a_result():
    def step(model, optimizer, batch):
        if batch[1].max() > 9:
            raise ValueError("labels")
        return stepping()(model, optimizer, batch)

    def situation():
        batches = data(5)
        batches[2] = (batches[2][0], batches[2][1] + 90)
        return classifier(step=step, batches=batches)

    compare(situation, hooking=wrongly(lambda *_: None), raises=ValueError).must_be({"planned"})

    def swallowing(made, *_):
        class Step(Counts):
            def __call__(self, batch):
                return torch.zeros(()) if batch[1].max() > 9 else made.eager(batch)

        return Step()

    assert compare(situation, hooking=swallowing, raises=ValueError).outcome == "different"


def test_settings_are_put_back():
    compare(make, hooking=wrongly(DAMAGE["default dtype"]))
    assert torch.get_default_dtype() == torch.float32


def test_iterators_and_cycles_are_walked():
    ring = [1]
    ring.append(ring)
    numbers, pairs = iter([1, 2, 3]), enumerate([4, 5])
    before = everything({"ring": ring, "numbers": numbers, "pairs": pairs})
    next(numbers), next(pairs)
    after = everything({"ring": ring, "numbers": numbers, "pairs": pairs})
    changed = {place.split(".")[0] for place in before if before[place] != after.get(place)}
    assert changed == {"numbers", "pairs"}


def test_the_eager_side_runs_a_tuple_of_optimizers():
    model = mlp()
    pair = (torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.SGD(model[2].parameters(), lr=0.1))
    made = Situation(model, pair, data(), nn.CrossEntropyLoss())
    before = [p.clone() for p in model.parameters()]
    made.eager(made.batch(0))
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert list(made.roots())[:3] == ["model", "optimizer 0", "optimizer 1"]
