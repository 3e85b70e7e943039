"""Parts of the arena are given up while ops hold as much of their own: enough of them, and nothing that is needed."""

import mmap
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.capture.captured import capture_step
from roam_lab.capture.step import as_step
from roam_lab.ir import Graph, Op, Storage, captured_order, lifetimes
from roam_lab.plan import make_plan
from roam_lab.plan.beside import top_of
from roam_lab.runtime import holes
from roam_lab.runtime.arena import HUGE_PAGE, allocate
from roam_lab.runtime.heap import function_of_c, resident_bytes
from roam_lab.runtime.holes import LEAST_BYTES, TOLERANCE, Request, give_up, requests
from roam_lab.runtime.hook import hook
from tests.plan.graphs import random_graph
from tests.runtime.test_identity import assert_identical
from tests.twins import sampled
from tests.zoo import MODELS, OPTIMIZERS, tiny

CAN_GIVE_UP = function_of_c("madvise") is not None and hasattr(mmap, "MADV_DONTNEED")
MIB = 2**20


def large(seed):
    """A random graph with sizes of hundreds of MiB."""
    graph = random_graph(seed, 12, external=True)
    return replace(graph, storages=tuple(replace(one, bytes=one.bytes * MIB) for one in graph.storages))


def told(graph):
    plan = make_plan(graph)
    own = top_of(graph, plan.offsets)
    return plan, own, requests(graph, plan.order, plan.offsets, own, plan.arena_bytes)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_nothing_that_is_needed_is_given_up_and_the_plan_is_kept(seed):
    graph = large(seed)
    plan, own, found = told(graph)
    lives = lifetimes(graph, plan.order)
    here = bytearray(b"\1" * (own // MIB + 1))  # a byte a MiB of the arena: all of it is in memory at first
    for step in range(len(plan.order)):
        alive = [life for life in lives if life.start <= step < life.end]
        for low, high in found[step].holes if step in found else ():
            for life in alive:
                start = plan.offsets[life.storage]
                if not graph.storages[life.storage].external:
                    assert high <= start or low >= start + life.bytes
            here[low // MIB : high // MIB] = bytes(high // MIB - low // MIB)
        for life in alive:
            start = plan.offsets[life.storage] // MIB
            if life.start == step and not graph.storages[life.storage].external:
                here[start : start + life.bytes // MIB] = b"\1" * (life.bytes // MIB)
        outside = sum(life.bytes for life in alive if graph.storages[life.storage].external)
        assert sum(here[: own // MIB]) * MIB + outside <= plan.arena_bytes * (1 + TOLERANCE) + MIB


def test_random_graphs_give_up_much():
    """Else the test before says nothing."""
    assert sum(bool(one.holes) for seed in range(40) for one in told(large(seed))[2].values()) > 20


def chain(*storages):
    """Each op creates a storage, and uses the one before."""
    ops = [Op(f"op_{i}", "t", (i - 1,) if i else (), (i,), (i - 1,) if i else ()) for i in range(len(storages))]
    return Graph("chain", storages, tuple(ops))


def test_which_ops_are_told():
    graph = chain(
        Storage(4 * LEAST_BYTES, region="op"),
        Storage(8 * LEAST_BYTES),  # in the arena: not malloc's
        Storage(LEAST_BYTES - 1, region="op"),
        Storage(2 * LEAST_BYTES, region="op"),
    )
    large_plan = 10**9
    assert requests(graph, captured_order(graph), {}, 8 * LEAST_BYTES, large_plan) == {
        0: Request(4 * LEAST_BYTES, 0),
        3: Request(2 * LEAST_BYTES, LEAST_BYTES - 1),
    }


def test_a_part_is_given_up_only_where_the_plan_would_be_passed():
    graph = chain(Storage(8 * MIB), Storage(8 * MIB), Storage(8 * MIB, region="op"), Storage(8 * MIB))
    offsets = {0: 0, 1: 8 * MIB, 2: 0, 3: 8 * MIB}
    found = requests(graph, captured_order(graph), {**offsets, 3: 8 * MIB}, 16 * MIB, 16 * MIB)
    assert found == {2: Request(8 * MIB, 0, 8 * MIB, ((0, 8 * MIB),))}
    roomy = requests(graph, captured_order(graph), offsets, 16 * MIB, 24 * MIB)
    assert roomy == {2: Request(8 * MIB, 0)}


@pytest.mark.skipif(not CAN_GIVE_UP, reason="the system takes no pages back")
def test_the_pages_go_and_what_lies_beside_them_stays():
    arena = allocate(64 * HUGE_PAGE, torch.device("cpu"))
    arena.fill_(7)
    before = resident_bytes()
    start, end = 5 * HUGE_PAGE + 12345, 45 * HUGE_PAGE + 54321
    give_up(arena.data_ptr(), ((start, end),))
    assert before - resident_bytes() > 38 * HUGE_PAGE
    assert bool((arena[:start] == 7).all())
    assert bool((arena[end:] == 7).all())
    arena[start:end] = 9
    assert int(arena[start - 1]) == 7
    assert int(arena[end]) == 7


@pytest.fixture
def as_much_as_can_be(monkeypatch):
    """Every part is given up that may be, however small."""
    given = []
    monkeypatch.setattr(holes, "TOLERANCE", -1.0)
    monkeypatch.setattr(holes, "LEAST_BYTES", 1)

    def noted(address, ranges):
        given.extend(ranges)
        for low, high in ranges:  # pages are too large for a small model: all bits of the range are lost
            torch.frombuffer((holes.ctypes.c_char * (high - low)).from_address(address + low), dtype=torch.uint8).fill_(
                255
            )

    monkeypatch.setattr("roam_lab.runtime.compiled.give_up", noted)
    return given


@pytest.mark.parametrize("name", sampled(["resnet", "llama", "tiny"], 2))
def test_what_is_given_up_is_not_read_again(name, as_much_as_can_be):
    torch.manual_seed(0)
    model, batch, loss = MODELS[name]()
    assert_identical(model, OPTIMIZERS["adamw_foreach"](list(model.parameters())), batch, loss)
    assert as_much_as_can_be


@pytest.mark.parametrize("name", sampled(["adamw_foreach", "adafactor_foreach", "sgd_momentum_fused"], 2))
def test_joined_parts_of_optimizers_read_nothing_that_is_given_up(name, as_much_as_can_be):
    torch.manual_seed(0)
    model, batch, loss = tiny()
    assert_identical(model, OPTIMIZERS[name](model.parameters()), batch, loss)


def test_a_fresh_capture_of_the_same_step_is_the_same_program(as_much_as_can_be, monkeypatch):
    torch.manual_seed(0)
    model, batch, loss = MODELS["resnet"]()
    optimizer = OPTIMIZERS["adamw_foreach"](list(model.parameters()))
    step = hook(make_plan(capture_step(model, optimizer, batch, as_step(loss)).graph), model, optimizer, loss=loss)
    step(batch)
    [compiled] = step._compiled.values()
    assert as_much_as_can_be
    assert compiled.would_be(capture_step(model, optimizer, batch, as_step(loss)))
    monkeypatch.setattr(holes, "LEAST_BYTES", 2**40)  # now nothing is worth giving up
    assert not compiled.would_be(capture_step(model, optimizer, batch, as_step(loss)))
