"""Lists that a step fills: planned where it only fills them, refused where it looks at them, too."""

import collections

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.errors import CaptureError
from tests.twins import sampled

READING = {
    "length": lambda log: 2.0 if len(log) > 2 else 1.0,
    "truth": lambda log: 2.0 if log else 1.0,
    "sum": lambda log: 1.0 + sum(log),
    "last": lambda log: 1.0 + log[-1] if log else 1.0,
    "membership": lambda log: 2.0 if 3.0 in log else 1.0,
    "copy": lambda log: 1.0 + len([*log]),
    "comparison": lambda log: 2.0 if log == [] else 1.0,
}
FILLING = {
    "append": lambda log, value: log.append(value),
    "extend": lambda log, value: log.extend([value]),
    "plus": lambda log, value: log.__iadd__([value]),
}


def made(kind, fill, read=None):
    torch.manual_seed(0)
    model, log = nn.Linear(3, 2), kind()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.log = log  # held twice: as an attribute and by the step

    def step(model, optimizer, batch):
        loss = model(batch).pow(2).mean() * (read(log) if read else 1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        fill(model.log, loss.item())
        return loss.detach()

    return model, optimizer, step, log


@pytest.mark.parametrize("kind", [list, collections.deque, lambda: collections.deque(maxlen=2)])
@pytest.mark.parametrize("fill", sampled(FILLING.values(), 2), ids=FILLING.keys())
def test_a_list_that_is_only_filled(kind, fill):
    batch, logs = torch.randn(4, 3), []
    for hooked in (False, True):
        model, optimizer, step, log = made(kind, fill)
        if hooked:
            run = roam.hook(roam.profile(model, batch, optimizer, step=step).plan(), model, optimizer, step=step)
        for _ in range(4):
            run(batch) if hooked else step(model, optimizer, batch)
        assert model.log is log
        assert type(log) in (list, collections.deque)
        logs.append(list(log))
    assert logs[0] == logs[1]
    assert run.planned_steps == 4


@pytest.mark.parametrize("kind", [list, collections.deque])
@pytest.mark.parametrize("read", sampled(READING.values(), 4), ids=READING.keys())
def test_a_list_that_is_read_as_well_is_refused(kind, read):
    if kind is collections.deque:
        read = {id(READING["comparison"]): lambda log: 2.0 if log == collections.deque() else 1.0}.get(id(read), read)
    model, optimizer, step, log = made(kind, FILLING["append"], read)
    with pytest.raises(CaptureError, match=r"the step reads (model\.)?log, which it also fills"):
        roam.profile(model, torch.randn(4, 3), optimizer, step=step)
    assert model.log is log
    assert list(log) == []


def test_a_text_that_a_number_was_written_into_is_refused():
    model, optimizer, _, log = made(list, FILLING["append"])

    def step(model, optimizer, batch):
        loss = model(batch).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.count += 1
        log.append(f"step {model.count}")
        return loss.detach()

    model.count = 0
    with pytest.raises(CaptureError, match="writes a number that changes from step to step into a text"):
        roam.profile(model, torch.randn(4, 3), optimizer, step=step)


def test_a_long_list_is_filled_and_its_entries_are_guarded():
    batch, runs = torch.randn(4, 3), []
    for hooked in (False, True):
        model, optimizer, step, log = made(list, FILLING["append"])
        log += [0.0] * 12_000
        table = [1.0] * 12_000

        def whole(model, optimizer, batch, step=step, table=table):
            return step(model, optimizer, batch) * table[7]

        if hooked:
            run = roam.hook(roam.profile(model, batch, optimizer, step=whole).plan(), model, optimizer, step=whole)
        losses = []
        for index in range(4):
            losses.append(float(run(batch) if hooked else whole(model, optimizer, batch)))
            table[7] = 1.0 + index
        runs.append((losses, log))
    assert runs[0] == runs[1]
