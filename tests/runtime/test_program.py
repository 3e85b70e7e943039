"""The program of a step: right in every legal order, each op on a known line, nothing kept past its end."""

import copy
import random
from dataclasses import replace

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import as_step, capture_step
from roam_lab.ir import check_order
from roam_lab.plan import make_plan
from roam_lab.plan.planner import lay_out
from roam_lab.registry import find
from roam_lab.runtime.identity import digest, digests
from roam_lab.runtime.program_writer import write_program
from tests.zoo import MODELS, OPTIMIZERS, STEPS, adamw, tiny, tiny_checkpointed


def shuffled(graph, seed):
    """A random legal order: whatever edge is missing shows sooner or later."""
    choose = random.Random(seed)
    waiting = [len(op.after) for op in graph.ops]
    ready = [index for index, count in enumerate(waiting) if not count]
    order = []
    while ready:
        index = ready.pop(choose.randrange(len(ready)))
        order.append(index)
        for follower in graph.followers[index]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    return tuple(order)


def plan_of(captured, order):
    check_order(captured.graph, order)
    layout = lay_out(captured.graph, order, find("layout", "best_fit"), {})
    plan = make_plan(captured.graph)
    return replace(plan, order=order, offsets=layout.offsets, arena_bytes=layout.arena_bytes)


class Everything(nn.Module):
    """Views written in place, buffers, an LSTM (external results), complex and conjugate views, a generator."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.lstm = nn.LSTM(4, 4)
        self.filter = nn.Parameter(torch.randn(3, dtype=torch.complex64))
        self.source = torch.Generator()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x):
        y = self.norm(x).clone()
        y[:, 0].mul_(2)
        y[:, 1:].add_(y[:, :1])
        self.seen.lerp_(y.detach().mean(0), 0.1)
        y = self.lstm(y[None] + self.seen)[0][0]
        y = torch.fft.irfft(torch.fft.rfft(y) * self.filter, n=4)
        return y * torch.rand(4, generator=self.source)


def everything():
    return Everything(), torch.randn(6, 4), lambda model, batch: model(batch).pow(2).mean()


CASES = {
    "everything": (everything, None),
    "resnet": (MODELS["resnet"], None),
    "accumulation": (tiny, STEPS["clipped_accumulation"]),
    "checkpointed": (tiny_checkpointed, STEPS["autocast"]),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in ("resnet", "accumulation") else []) for name in CASES]
)
def test_every_legal_order_gives_the_same_bits(name):
    torch.manual_seed(0)
    make, step = CASES[name]
    model, batch, loss = make()
    step = step or as_step(loss)
    captured = capture_step(model, adamw(model.parameters()), batch, step)
    start = torch.get_rng_state()
    found = []
    for seed in (None, 0, 1, 2):
        torch.set_rng_state(start)
        twin = copy.deepcopy(model)
        if name == "everything":
            twin.source.manual_seed(5)
        optimizer, run = adamw(twin.parameters()), step
        if seed is not None:
            planned = roam.hook(plan_of(captured, shuffled(captured.graph, seed)), twin, optimizer, step=step)
            planned.prepare(batch)
            torch.set_rng_state(start)
            run = lambda model, optimizer, batch, planned=planned: planned(batch)  # noqa: E731
        losses = [digest(run(twin, optimizer, batch)) for _ in range(2)]
        found.append((losses, digests(twin, optimizer), digest(torch.get_rng_state())))
    assert all(one == found[0] for one in found[1:])


@pytest.fixture(scope="module")
def written():
    torch.manual_seed(0)
    model, batch, loss = everything()
    captured = capture_step(model, OPTIMIZERS["sgd_momentum_single"](model.parameters()), batch, as_step(loss))
    order = make_plan(captured.graph).order
    return captured, order, write_program(captured, order)


def test_lines_are_ops_in_order(written):
    captured, order, program = written
    lines = program.source.splitlines()
    assert lines[0].startswith("def step(")
    assert lines[-1].startswith("    return ")
    assert lines[-1].endswith(".clone(),")
    first_lines = {}
    for line, op in sorted(program.op_of_line.items()):
        first_lines.setdefault(op, line)
        assert 2 <= line <= len(lines)
    silent = {index for index, op in enumerate(captured.graph.ops) if ".empty" in op.target or "new_empty" in op.target}
    assert set(range(len(order))) - set(first_lines) <= silent
    assert sorted(first_lines, key=first_lines.get) == [index for index in order if index in first_lines]


def test_what_ops_allocate_is_dropped_at_its_planned_end(written):
    captured, order, program = written
    graph, lines = captured.graph, program.source.splitlines()
    last = {}
    for step, index in enumerate(order):
        for storage in (*graph.ops[index].creates, *graph.ops[index].touches):
            if graph.storages[storage].external and not graph.storages[storage].output:
                last[storage] = step
    drops = {order.index(program.op_of_line[number]) for number, text in enumerate(lines, 1) if text.endswith("= None")}
    assert drops
    assert drops <= set(last.values())
    named = [text.split(" = ")[0].strip() for text in lines if text.strip().startswith("v")]
    dropped = {name.strip() for text in lines if text.endswith("= None") for name in text.split(" = ")[:-1]}
    kept = [name for name in named if "," not in name and name not in dropped]
    batch_views = [name for name in kept if "detach" not in name and "mean" not in name]
    assert batch_views == []  # the loss alone, and views of it, live to the end


def test_places_lie_in_the_arena_or_in_resident_tensors(written):
    captured, _, program = written
    assert list(program.places) == [f"t{number}" for number in range(len(program.places))]
    for place in program.places.values():
        assert (place.storage is None) != (place.root is None)
        if place.storage is not None:
            assert not captured.graph.storages[place.storage].external
    assert [item.kind for item in program.arguments] == ["batch", "setting", "setting", "setting"]
    kinds = {place.root.kind for place in program.places.values() if place.root}
    assert kinds == {"parameter", "buffer", "state"} == {item.kind for item in program.residents} - {"setting"}


def test_the_loss_is_a_tensor_of_its_own_even_when_it_is_a_parameter():
    model = nn.Linear(1, 1)

    def step(model, optimizer, batch):
        loss = model(batch).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return model.bias

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = torch.ones(1, 1)
    planned = roam.hook(make_plan(capture_step(model, optimizer, batch, step).graph), model, optimizer, step=step)
    first = planned(batch)
    value = first.item()
    planned(batch)
    assert first.item() == value
    assert not first.requires_grad
