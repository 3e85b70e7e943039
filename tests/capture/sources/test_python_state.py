"""What changed since, and all of it put back."""

import collections
import dataclasses
import hashlib
import itertools
import mmap
import random
import types

import numpy
import pytest
import torch
import transformers
from torch import nn

from roam_lab.capture.sources import MISSING, PythonState, reach
from roam_lab.capture.sources.stateful import MOST_ARRAY_BYTES, content_bytes
from roam_lab.errors import CaptureError

TEMPERATURE = 2.0


class Thing:
    """Any object."""

    total = 0

    def __init__(self, **attributes):
        vars(self).update(attributes)


class Slotted:
    __slots__ = ("first", "second")


def told(state):
    return [(one.path, one.kind, one.before, one.after) for one in state.changes()]


def state_of(**roots):
    return PythonState(reach(roots))


CHANGES = [
    (Thing(count=1), lambda t: setattr(t, "count", 2), [("step.count", "number", 1, 2)]),
    (Thing(count=1), lambda t: setattr(t, "count", True), [("step.count", "number", 1, True)]),
    (Thing(rate=0.0), lambda t: setattr(t, "rate", -0.0), [("step.rate", "number", 0.0, -0.0)]),
    (Thing(rate=float("nan")), lambda t: setattr(t, "rate", float("nan")), []),
    (Thing(name="ab"), lambda t: setattr(t, "name", "".join(["a", "b"])), []),
    (Thing(first=None), lambda t: setattr(t, "first", 1.5), [("step.first", "number", None, 1.5)]),
    (Thing(), lambda t: setattr(t, "new", 1), [("step.new", "grown", MISSING, 1)]),
    (Thing(old=1), lambda t: delattr(t, "old"), [("step.old", "shrunk", 1, MISSING)]),
    (Thing(sizes=[1, 2]), lambda t: setattr(t, "sizes", [1, 2]), []),
    (Thing(), lambda t: setattr(Thing, "total", 5), [("Thing.total", "number", 0, 5)]),
    ([1, 2], lambda t: t.append(3), [("step[2]", "grown", MISSING, 3)]),
    ([1, 2], lambda t: t.pop(), [("step[1]", "shrunk", 2, MISSING)]),
    ([1, 2], lambda t: t.reverse(), [("step[0]", "number", 1, 2), ("step[1]", "number", 2, 1)]),
    (
        collections.deque([1, 2], maxlen=2),
        lambda t: t.append(3),
        [("step[0]", "shrunk", 1, MISSING), ("step[1]", "grown", MISSING, 3)],
    ),
    ({"a": 1}, lambda t: t.update(a=2, b=3), [("step['a']", "number", 1, 2), ("step['b']", "grown", MISSING, 3)]),
    ({"a": 1}, lambda t: t.clear(), [("step['a']", "shrunk", 1, MISSING)]),
    (collections.OrderedDict(a=1, b=2), lambda t: t.move_to_end("a"), [("step", "object", ["a", "b"], ["b", "a"])]),
    (collections.Counter("a"), lambda t: t.update("a"), [("step['a']", "number", 1, 2)]),
    (collections.defaultdict(int), lambda t: t["x"], [("step['x']", "grown", MISSING, 0)]),
    ({1}, lambda t: t.add(2), [("step", "grown", MISSING, 2)]),
    ({1}, lambda t: t.discard(1), [("step", "shrunk", 1, MISSING)]),
]


@pytest.mark.parametrize(("thing", "change", "expected"), CHANGES)
def test_every_container(thing, change, expected):
    state = state_of(step=thing)
    before = str(vars(thing) if isinstance(thing, Thing) else thing)
    assert told(state) == []
    change(thing)
    assert told(state) == expected
    for _ in range(2):
        state.restore()
        assert told(state) == []
        assert str(vars(thing) if isinstance(thing, Thing) else thing) == before
    assert Thing.total == 0


def test_slots_and_frozen_dataclasses():
    @dataclasses.dataclass(frozen=True, slots=True)
    class Frozen:
        value: int

    slotted, frozen = Slotted(), Frozen(1)
    slotted.first = 1
    state = state_of(step=[slotted, frozen])
    slotted.second, slotted.first = 3, 2
    object.__setattr__(frozen, "value", 7)
    assert told(state) == [
        ("step[0].first", "number", 1, 2),
        ("step[0].second", "grown", MISSING, 3),
        ("step[1].value", "number", 1, 7),
    ]
    state.restore()
    assert slotted.first == 1
    assert not hasattr(slotted, "second")
    assert frozen.value == 1


def test_cells_and_globals_and_function_attributes():
    count = 0

    def step():
        nonlocal count
        global TEMPERATURE, APPEARED
        count += 1
        TEMPERATURE = 3.0
        APPEARED = 1
        step.calls = 1

    state = state_of(step=step)
    step()
    found = {one.path: one for one in state.changes()}
    assert {(path, one.kind) for path, one in found.items()} == {
        ("count", "number"), ("TEMPERATURE", "number"), ("APPEARED", "grown"), ("step.calls", "grown"),
    }  # fmt: skip
    state.restore()
    assert count == 0
    assert TEMPERATURE == 2.0
    assert "APPEARED" not in globals()
    assert not hasattr(step, "calls")


def test_tensors_that_are_bound_anew_and_memory_that_is_swapped():
    model = nn.BatchNorm1d(2)
    weight, mean, address = model.weight, model.running_mean, model.weight.data_ptr()
    state = state_of(model=model)
    model.running_mean = torch.ones(2)
    model.weight.data = torch.full((2,), 7.0)
    assert [(path, kind) for path, kind, *_ in told(state)] == [
        ("model.running_mean", "rebinding"),
        ("model.weight.data", "rebinding"),
    ]
    state.restore()
    assert model.running_mean is mean
    assert model.weight is weight
    assert weight.data_ptr() == address
    assert weight.tolist() == [1, 1]


RANDOM = [
    (lambda: torch.Generator().manual_seed(1), lambda g: torch.rand(3, generator=g).tolist()),
    (lambda: numpy.random.default_rng(1), lambda g: g.random(3).tolist()),
    (lambda: numpy.random.RandomState(1), lambda g: g.normal(size=3).tolist()),
    (lambda: random.Random(1), lambda g: [g.gauss(0, 1) for _ in range(3)]),
]


@pytest.mark.parametrize(("make", "draw"), RANDOM)
def test_generators_of_random_numbers(make, draw):
    thing = Thing(generator=make())
    state = state_of(step=thing)
    first = draw(thing.generator)
    assert [(one.path, one.kind) for one in state.changes() if one.kind == "random"] == [("step.generator", "random")]
    state.restore()
    assert state.changes() == ()
    assert draw(thing.generator) == first
    assert state.cannot_restore == ()


ITERATORS = [
    (lambda: iter([1, 2, 3]), True), (lambda: iter((1, 2, 3)), True), (lambda: iter(range(3)), True),
    (lambda: iter("abc"), True), (lambda: iter({"a": 1, "b": 2}), True), (lambda: itertools.count(4, 2), True),
    (lambda: itertools.count(0.5), True), (lambda: reversed([1, 2]), True),
]  # fmt: skip


@pytest.mark.parametrize(("make", "in_full"), ITERATORS)
@pytest.mark.parametrize("taken", [1, 9])
def test_iterators_are_rewound(make, in_full, taken):
    thing = Thing(iterator=make())
    expected = list(itertools.islice(make(), 1, 9))
    next(thing.iterator)
    state = state_of(step=thing)
    list(itertools.islice(thing.iterator, taken))
    assert [(one.path, one.kind) for one in state.changes()] == [("step.iterator", "iterator")]
    for _ in range(2):
        state.restore()
        assert state.changes() == ()
        assert list(itertools.islice(thing.iterator, 8)) == expected
    assert state.cannot_restore == ()


def test_what_cannot_be_rewound_is_named(tmp_path):
    def generate():
        yield from range(5)

    (tmp_path / "log").write_text("abc")
    with (tmp_path / "log").open("rb") as file:
        loader = torch.utils.data.DataLoader(torch.arange(4.0))
        thing = Thing(generator=generate(), loader=iter(loader), zipped=zip([1, 2], [3, 4], strict=True), file=file)
        thing.big = numpy.zeros(200_000)
        state = state_of(step=thing)
        names = {"step.generator", "step.loader", "step.zipped", "step.file", "step.big"}
        assert names <= set(state.cannot_restore)
        next(thing.generator)
        next(thing.loader)
        next(thing.zipped)
        file.read(1)
        moved = {one.path for one in state.changes() if one.kind == "iterator"}
        assert {"step.generator", "step.file"} <= moved
        assert any(one.path.startswith("step.loader") for one in state.changes())
        assert any(one.path.startswith("step.zipped") for one in state.changes())


@pytest.mark.parametrize("name", sorted(hashlib.algorithms_guaranteed))
def test_a_hash_is_compared_and_cannot_be_put_back(name):
    thing = Thing(seen=hashlib.new(name))
    state = state_of(step=thing)
    assert (state.changes(), state.cannot_restore) == ((), ("step.seen",))
    state.check_unused()
    before = content_bytes(thing.seen)
    thing.seen.update(b"one more")
    assert [one.path for one in state.changes()] == ["step.seen"]
    assert content_bytes(thing.seen) != before
    with pytest.raises(CaptureError, match=r"the step reaches step\.seen, which could not be put back"):
        state.check_unused()


def test_arrays():
    thing = Thing(array=numpy.arange(3.0), raw=bytearray(b"ab"), objects=numpy.array([None, 1], dtype=object))
    array = thing.array
    state = state_of(step=thing)
    thing.array += 1
    thing.raw += b"c"
    thing.objects[0] = "x"
    assert [(one.path, one.kind) for one in state.changes()] == [
        ("step.array", "object"), ("step.raw", "object"), ("step.objects", "object"),
    ]  # fmt: skip
    state.restore()
    assert thing.array is array
    assert array.tolist() == [0, 1, 2]
    assert thing.raw == b"ab"
    assert thing.objects.tolist() == [None, 1]


def test_a_whole_step_with_scheduler_scaler_and_average_that_fails_half_way():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=9)
    scaler, losses = torch.amp.GradScaler("cpu"), []
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))

    def step(model, optimizer, batch):
        loss = model(batch).pow(2).mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        average.update_parameters(model)
        losses.append(float(loss.detach()))
        scheduler.step()
        raise KeyError("half-way")

    state = PythonState(reach({"model": model, "optimizer": optimizer, "step": step}))
    with pytest.raises(KeyError):
        step(model, optimizer, torch.randn(4, 2))
    changed = {one.path: one.kind for one in state.changes()}
    assert changed["scheduler.last_epoch"] == "number"
    assert changed["optimizer.param_groups[0]['lr']"] == "number"
    assert changed["losses[0]"] == "grown"
    assert changed["optimizer.state[model[0].weight]"] == "grown"
    state.restore()
    assert state.changes() == ()
    assert scheduler.last_epoch == 0
    assert losses == []
    assert len(optimizer.state) == 0


def test_a_forward_of_gpt2_changes_nothing():
    configuration = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=11, n_positions=8)
    model = transformers.GPT2LMHeadModel(configuration).eval()
    ids = torch.arange(6)[None]
    optimizer = torch.optim.AdamW(model.parameters())
    state = PythonState(reach({"model": model, "optimizer": optimizer}))
    model(ids, labels=ids)
    assert state.changes() == ()
    model.config.resid_pdrop = 0.7
    model.transformer.h[1].mlp.dropout.p = 0.9
    assert [(one.path, one.after) for one in state.changes()] == [
        ("model.config.resid_pdrop", 0.7),
        ("model.transformer.h[1].mlp.dropout.p", 0.9),
    ]


def test_what_does_not_take_its_state_back_is_named_after_all_else_is_put_back():
    class Meta(type):
        pass

    kept, broken = Thing(count=1), types.SimpleNamespace(generator=torch.Generator())
    state = state_of(step=[broken, kept])
    torch.rand(1, generator=broken.generator)
    kept.count = 2
    state._stateful[0].before = torch.zeros(1, dtype=torch.uint8)
    with pytest.raises(CaptureError, match=r"step\[0\]\.generator"):
        state.restore()
    assert kept.count == 1


def test_memory_that_is_mapped_or_viewed():
    """What no attribute shows: bytes that are shared with other processes, or lie behind a view."""
    memory, view = mmap.mmap(-1, 8), memoryview(bytearray(8))
    state = state_of(step=Thing(memory=memory, view=view))
    memory[0], view[1] = 7, 9
    assert told(state) == [
        ("step.memory", "object", bytes(8), b"\7" + bytes(7)),
        ("step.view", "object", bytearray(8), bytearray(b"\0\x09") + bytearray(6)),
    ]
    state.restore()
    assert (memory[:], bytes(view)) == (bytes(8), bytes(8))


def test_the_map_of_a_large_file_is_data(tmp_path):
    file = tmp_path / "data.bin"
    file.write_bytes(bytes(MOST_ARRAY_BYTES + 1))
    with file.open("r+b") as opened:
        large, small = mmap.mmap(opened.fileno(), 0), mmap.mmap(opened.fileno(), 8, access=mmap.ACCESS_READ)
        closed = mmap.mmap(-1, 8)
        closed.close()
        state = state_of(step=Thing(large=large, small=small, closed=closed))
        large[0] = 7
        assert [path for path, *_ in told(state)] == ["step.small"]  # the same memory
        state.restore()  # and not through what is read-only
        assert large[0] == 7


def test_a_map_that_the_step_closes_is_no_crash():
    memory = mmap.mmap(-1, 8)
    state = state_of(step=Thing(memory=memory))
    memory.close()
    assert [path for path, *_ in told(state)] == ["step.memory"]
    state.restore()
