"""Steps that reach what no trial run can put back: iterators, generators, data loaders, open files. A hook takes from
them as often as the eager step does."""

import itertools
from contextvars import ContextVar

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import roam_lab as roam

POOL = [(torch.randn(4, 6, generator=torch.Generator().manual_seed(i)), torch.arange(4)) for i in range(5)]


def generated():
    while True:
        yield from POOL


def loader():
    x, y = (torch.cat(one) for one in zip(*POOL * 3, strict=True))
    return iter(DataLoader(TensorDataset(x, y), 4, shuffle=True))


SOURCES = {
    "generator": generated,
    "cycle": lambda: itertools.cycle(POOL),
    "zip": lambda: zip(*(itertools.cycle(one) for one in zip(*POOL, strict=True)), strict=False),
    "map": lambda: map(tuple, POOL * 3),
    "chain": lambda: itertools.chain(POOL, POOL, POOL),
    "loader": loader,
}


def trained(source, every, hooked, check="never", steps=5):
    """The losses, parameters and what the source gives next; and the hook. Every `every`th step takes from it."""
    torch.manual_seed(0)
    source, count = source(), [0]
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(model, optimizer, batch):
        x, y = next(source) if every and count[0] % every == 0 else batch
        count[0] += 1
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    run = roam.hook(model, optimizer, step=step, check=check, cache=False) if hooked else None
    batches = [(2 * x, y) for x, y in (POOL[i % 5] for i in range(steps))]
    losses = [run(batch) if run else step(model, optimizer, batch) for batch in batches]
    return [*losses, *model.parameters(), next(source)[0]], run


@pytest.mark.filterwarnings("ignore:a training step ran eagerly")
@pytest.mark.parametrize(
    ("kind", "every", "check"),
    [*((kind, 1, "never") for kind in SOURCES), ("generator", 0, "first"), ("generator", 3, "never"),
     ("cycle", 3, "first"), ("loader", 0, "never"), ("loader", 1, "first")],
)  # fmt: skip
def test_nothing_is_taken_by_a_trial(kind, every, check):
    eager, _ = trained(SOURCES[kind], every, hooked=False)
    left, hooked = trained(SOURCES[kind], every, hooked=True, check=check)
    assert all(map(torch.equal, eager, left))
    assert hooked.planned_steps == {0: 4, 1: 0}.get(every, hooked.planned_steps)


@pytest.mark.filterwarnings("ignore:a training step ran eagerly")
def test_a_log_file_is_written_once(tmp_path):
    def lines(hooked):
        torch.manual_seed(0)
        model = nn.Linear(6, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with (tmp_path / "log").open("w") as file:

            def step(model, optimizer, batch):
                loss = cross_entropy(model(batch[0]), batch[1])
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                file.write(f"{loss.item():.4f}\n")
                return loss.detach()

            run = roam.hook(model, optimizer, step=step, check="never") if hooked else None
            for batch in POOL:
                run(batch) if run else step(model, optimizer, batch)
        return (tmp_path / "log").read_text()

    assert lines(hooked=True) == lines(hooked=False)


def test_a_profile_without_values_takes_nothing_either():
    source = generated()
    model = nn.Linear(6, 4)

    def step(model, optimizer, batch):
        x, y = next(source)
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    with pytest.raises(roam.CaptureError, match="the step reaches source, which could not be put back after a trial"):
        roam.profile(model, POOL[0], torch.optim.SGD(model.parameters()), step=step, fake=True)
    assert next(source) is POOL[0]


@pytest.mark.filterwarnings("ignore:a training step ran eagerly")
@pytest.mark.parametrize("default", [{}, {"default": 0}], ids=str)
def test_a_context_variable_counts_as_eagerly(default):
    def counts(hooked):
        variable = ContextVar("count", **default)
        model = nn.Linear(6, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(model, optimizer, batch):
            loss = cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            variable.set(variable.get(*([] if default else [0])) + 1)
            return loss.detach()

        run = roam.hook(model, optimizer, step=step, check="never") if hooked else None
        return [(run(b) if run else step(model, optimizer, b), variable.get())[1] for b in POOL]

    assert counts(hooked=True) == counts(hooked=False) == [1, 2, 3, 4, 5]
