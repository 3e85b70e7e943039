"""Ranges of an arena are lent to the real caching allocator, and come back with everything beside them as it was."""

import ctypes
import random

import pytest
import torch

import roam_lab as roam
from roam_lab.errors import RoamError
from roam_lab.plan.beside import FreeRanges, lent
from roam_lab.runtime import compiled
from roam_lab.runtime.lending import KeepingArena, LendingArena

MIB = 2**20


def empty(size):
    return torch.empty(size, dtype=torch.uint8, device="cuda")


def written(tensor, value):
    """The fake's memory is the host's, and its kernels write nothing."""
    ctypes.memset(tensor.data_ptr(), value, tensor.numel())


def holds(tensor, value):
    return ctypes.string_at(tensor.data_ptr(), tensor.numel()) == bytes([value]) * tensor.numel()


def test_a_result_takes_the_range_that_is_lent():
    arena = LendingArena(100 * MIB, torch.device("cuda"))
    left, right = arena.bytes[: 40 * MIB], arena.bytes[60 * MIB :]
    written(left, 1)
    written(right, 2)
    before = torch.cuda.memory_allocated()
    arena.lend((40 * MIB, 20 * MIB))
    (result,) = arena.settle((40 * MIB, empty(20 * MIB)))
    assert result.data_ptr() == arena.bytes.data_ptr() + 40 * MIB
    assert torch.cuda.memory_allocated() == before
    other = empty(5 * MIB)  # of the program's other ops: not from the arena
    assert not 0 <= other.data_ptr() - arena.bytes.data_ptr() < 100 * MIB
    del result, other
    arena.take_back(40 * MIB)
    arena.whole()
    assert holds(left, 1)
    assert holds(right, 2)
    assert torch.cuda.memory_allocated() == before


def test_random_sequences():
    """What is lent is a result's, what is not keeps its contents."""
    draw = random.Random(0)
    arena = LendingArena(200 * MIB, torch.device("cuda"))
    alive = {}
    for _ in range(300):
        if alive and draw.random() < 0.5:
            start = draw.choice(list(alive))
            del alive[start]
            arena.take_back(start)
            arena.lend()
            arena.settle()
            continue
        start, size = draw.randrange(0, 190 * MIB, 512), draw.randrange(2 * MIB, 30 * MIB)
        trial = FreeRanges(arena._size)
        trial.ranges, trial.lent = list(arena._free.ranges), dict(arena._free.lent)
        if trial.lend(start, size) is None:
            continue
        for low, high in trial.ranges:
            written(arena.bytes[low : min(low + 4096, high)], low % 251)
            written(arena.bytes[max(low, high - 4096) : high], low % 251)
        arena.lend((start, size))
        (alive[start],) = arena.settle((start, empty(size)))
        assert alive[start].data_ptr() == arena.bytes.data_ptr() + start
        written(alive[start][:4096], 255)
        written(alive[start][-4096:], 255)
        for low, high in arena._free.ranges:
            assert holds(arena.bytes[low : min(low + 4096, high)], low % 251)
            assert holds(arena.bytes[max(low, high - 4096) : high], low % 251)
    assert len(alive) > 2
    alive.clear()
    arena.whole()
    assert arena._free.ranges == [(0, arena._size)]


def test_where_an_op_takes_memory_for_itself_first_its_result_lies_beside():
    arena = LendingArena(100 * MIB, torch.device("cuda"))
    arena.lend((40 * MIB, 20 * MIB))
    workspace = empty(20 * MIB)
    (result,) = arena.settle((40 * MIB, empty(20 * MIB)))
    assert not 0 <= result.data_ptr() - arena.bytes.data_ptr() < 100 * MIB
    del workspace
    arena.lend((70 * MIB, 10 * MIB))  # the range that was not taken came back before
    (other,) = arena.settle((70 * MIB, empty(10 * MIB)))
    assert other.data_ptr() == arena.bytes.data_ptr() + 70 * MIB
    assert sorted(arena._free.lent) == [70 * MIB]
    del result, other
    arena.take_back(40 * MIB, 70 * MIB)
    arena.whole()
    assert arena._free.ranges == [(0, 100 * MIB)]


def test_a_result_in_the_range_of_another_is_moved():
    arena = LendingArena(100 * MIB, torch.device("cuda"))
    arena.lend((60 * MIB, 30 * MIB), (20 * MIB, 10 * MIB))
    workspace = empty(10 * MIB)
    small, large = empty(10 * MIB), empty(30 * MIB)
    assert small.data_ptr() == arena.bytes.data_ptr() + 60 * MIB
    settled = arena.settle((60 * MIB, large), (20 * MIB, small))
    assert all(not 0 <= one.data_ptr() - arena.bytes.data_ptr() < 100 * MIB for one in settled)
    del small, large, workspace
    arena.whole()
    assert arena._free.ranges == [(0, 100 * MIB)]


def test_a_result_that_is_lent_nothing_is_moved_out_of_the_range_of_another():
    """Dropout allocates its mask first, which may be lent nothing, because it touches the other result in the plan."""
    arena = LendingArena(100 * MIB, torch.device("cuda"))
    arena.lend((60 * MIB, 30 * MIB))
    mask, result = empty(10 * MIB), empty(30 * MIB)
    assert mask.data_ptr() == arena.bytes.data_ptr() + 60 * MIB
    settled = arena.settle((60 * MIB, result), (None, mask))
    assert all(not 0 <= one.data_ptr() - arena.bytes.data_ptr() < 100 * MIB for one in settled)
    del mask, result
    arena.lend((60 * MIB, 30 * MIB))  # while both live on
    arena.settle()
    arena.whole()
    assert arena._free.ranges == [(0, 100 * MIB)]
    assert [one.numel() for one in settled] == [30 * MIB, 10 * MIB]


def test_a_result_that_somebody_holds_is_an_error_and_no_endless_search():
    arena = LendingArena(100 * MIB, torch.device("cuda"))
    arena.lend((40 * MIB, 20 * MIB))
    (held,) = arena.settle((40 * MIB, empty(20 * MIB)))
    with pytest.raises(RoamError, match="something holds a result of the step"):
        arena.whole()
    assert held.numel() == 20 * MIB


class Dropped(torch.nn.Module):
    """Its dropout is one op with two results above 1 MiB: the mask, and the other."""

    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(64, 4096), torch.nn.Linear(4096, 64)

    def forward(self, x):
        x = torch.nn.functional.dropout(self.first(x), 0.1)
        return self.last(torch.nn.functional.dropout(x, 0.1))


def test_a_step_goes_on_where_the_smaller_of_two_results_is_lent_nothing(monkeypatch):
    """As where their places touch in the plan: the larger alone is lent a range."""
    model, x = Dropped().cuda(), torch.randn(512, 64, device="cuda")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def without_masks(graph, order, offsets):
        found, size = lent(graph, order, offsets)
        return {one: found[one] for one in found if graph.storages[one].bytes > 4 * MIB}, size

    monkeypatch.setattr(compiled, "lent", without_masks)
    _, step = hooked(model, optimizer, x, lambda model, x: model(x).sum())
    for _ in range(3):
        step(x)
    assert isinstance(step._pool.lending, LendingArena)
    assert (step.planned_steps, step.eager_steps) == (3, 0), step.reasons


class Wide(torch.nn.Module):
    """Its attention and dropout have no `out=` on CUDA."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.MultiheadAttention(512, 8, batch_first=True)
        self.table = torch.nn.Embedding(8000, 512)
        self.dropout = torch.nn.Dropout(0.1)

    def forward(self, ids):
        x = self.dropout(self.table(ids))
        x = x + self.inner(x, x, x, need_weights=False)[0]
        return x @ self.table.weight.t()


@pytest.fixture
def wide():
    model, ids = Wide().cuda(), torch.randint(0, 8000, (8, 128)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def loss(model, batch):
        return torch.nn.functional.cross_entropy(model(batch).flatten(0, 1), batch.flatten())

    return model, optimizer, ids, loss


def hooked(model, optimizer, ids, loss):
    plan = roam.profile(model, ids, optimizer, loss=loss).plan()
    return plan, roam.hook(plan, model, optimizer, loss=loss, check="never")


def test_arena_and_results_are_one_region(wide, monkeypatch):
    settle, taken = LendingArena.settle, []

    def noted(self, *results):
        taken.extend(result.data_ptr() - self._base == start for start, result in results if start is not None)
        return settle(self, *results)

    monkeypatch.setattr(LendingArena, "settle", noted)
    plan, step = hooked(*wide)
    ids = wide[2]
    for _ in range(3):
        step(ids)
    lending = step._pool.lending
    assert lending is not None
    torch.cuda.empty_cache()
    base = torch.cuda.memory_allocated() - lending._size
    torch.cuda.reset_peak_memory_stats()
    taken.clear()
    step(ids)
    assert len(taken) >= 4
    assert sum(taken) >= len(taken) - 1  # one op takes memory for itself first
    assert step.planned_steps == 4
    gradient = ids.numel() * 512 * 4  # those of q, k and v are of one size: one is lent a range, two lie beside it
    assert plan.arena_bytes <= 1.01 * (plan.peak_bytes + 2 * gradient)
    segment = 22 * MIB  # of the pools of smaller results (20 and 2); counts as allocated while ranges are cut out
    assert torch.cuda.max_memory_allocated() - base <= 1.02 * plan.arena_bytes + segment


def test_a_step_that_fails_while_something_is_lent_leaves_the_next_one_right(wide, monkeypatch):
    _, step = hooked(*wide)
    ids = wide[2]
    step(ids)
    settle, failed = LendingArena.settle, []

    def fails(self, *results):
        found = settle(self, *results)
        if results and len(failed) < 2:
            failed.append(len(results))
            if len(failed) == 2:  # the attention: before any parameter is updated
                raise RuntimeError("in the middle")
        return found

    monkeypatch.setattr(LendingArena, "settle", fails)
    step.release()  # what is bound anew calls the one that fails
    step(ids)
    assert any("in the middle" in reason for reason in step.reasons)
    assert step.eager_steps == 1
    step(ids)
    assert step.planned_steps == 2


def test_another_stream_has_an_arena_of_its_own(wide):
    _, step = hooked(*wide)
    ids = wide[2]
    step(ids)
    first = step._pool.lending
    with torch.cuda.stream(torch.cuda.Stream()):
        step(ids)
    assert step._pool.lending is not first
    assert step.planned_steps == 2


@pytest.fixture(params=["max_split_size_mb:40", "roundup_power2_divisions:4", "another allocator"])
def no_cutting(request, monkeypatch):
    if ":" not in request.param:
        monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "cudaMallocAsync")
        yield
        return
    torch.cuda.memory._set_allocator_settings(request.param)
    yield
    torch.cuda.memory._set_allocator_settings("")


def test_where_the_allocator_does_not_cut_results_lie_beside_the_arena(wide, no_cutting):
    _, step = hooked(*wide)
    for _ in range(3):
        step(wide[2])
    assert step.planned_steps == 3
    assert isinstance(step._pool.lending, KeepingArena)
