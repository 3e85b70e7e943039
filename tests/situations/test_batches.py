"""What a batch may be: containers of every kind, with what is read, what is not read, and what changes."""

import collections
import dataclasses
import typing

import numpy
import pytest
import torch
from torch import nn
from transformers import BatchEncoding
from transformers.utils import ModelOutput

from tests.situations.judge import HONEST, PLANNED, Situation, compare
from tests.situations.models import data, mlp, sgd, slow_unless

CROSS = nn.functional.cross_entropy
Named = collections.namedtuple("Named", "x y name")


class Typed(typing.NamedTuple):
    x: torch.Tensor
    y: torch.Tensor
    index: int = 0


@dataclasses.dataclass
class Data:
    x: torch.Tensor
    y: torch.Tensor
    mask: torch.Tensor | None = None
    name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: torch.Tensor
    y: torch.Tensor


@dataclasses.dataclass
class Out(ModelOutput):
    x: torch.Tensor | None = None
    y: torch.Tensor | None = None


class Plain:
    """Like PyTorch Geometric's: tensors as attributes."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def to(self, device):
        return self


class WithSlots:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


class Strided(torch.Tensor):
    pass


CONTAINERS = {
    "tuple": lambda x, y, i: (x, y),
    "list": lambda x, y, i: [x, y],
    "dict": lambda x, y, i: {"x": x, "y": y},
    "BatchEncoding": lambda x, y, i: BatchEncoding({"x": x, "y": y}),
    "dataclass": lambda x, y, i: Data(x, y, name=f"batch {i}"),
    "frozen dataclass with slots": lambda x, y, i: Frozen(x, y),
    "ModelOutput": lambda x, y, i: Out(x=x, y=y),
    "namedtuple": lambda x, y, i: Named(x, y, "train"),
    "namedtuple with a str that changes": lambda x, y, i: Named(x, y, f"batch {i}"),
    "NamedTuple with a number that changes": lambda x, y, i: Typed(x, y, i),
    "object": lambda x, y, i: Plain(x, y),
    "object with slots": lambda x, y, i: WithSlots(x, y),
    "SimpleNamespace": lambda x, y, i: __import__("types").SimpleNamespace(x=x, y=y),
    "OrderedDict": lambda x, y, i: collections.OrderedDict(x=x, y=y),
    "defaultdict": lambda x, y, i: collections.defaultdict(list, x=x, y=y),
    "UserDict": lambda x, y, i: collections.UserDict(x=x, y=y),
    "nested": lambda x, y, i: {"data": {"x": x, "more": [(x[:2], None), []]}, "y": y},
    "names that change": lambda x, y, i: {"x": x, "y": y, "name": [f"sample {i}.{j}" for j in range(3)]},
    "a str that changes": lambda x, y, i: {"x": x, "y": y, "path": f"/data/{i}.png"},
    "bytes that change": lambda x, y, i: {"x": x, "y": y, "raw": bytes([i])},
    "an index that changes": lambda x, y, i: {"x": x, "y": y, "index": i},
    "a float that changes": lambda x, y, i: {"x": x, "y": y, "time": i / 7},
    "a list of numbers that changes": lambda x, y, i: {"x": x, "y": y, "ids": [i, i + 1]},
    "a list that grows": lambda x, y, i: {"x": x, "y": y, "ids": list(range(i))},
    "a bool that changes": lambda x, y, i: {"x": x, "y": y, "flag": i % 2 == 0},
    "a dict of metadata": lambda x, y, i: {"x": x, "y": y, "meta": {"id": f"{i}", "sizes": [(3, i)]}},
    "None": lambda x, y, i: {"x": x, "y": y, "mask": None},
    "None or a tensor": lambda x, y, i: {"x": x, "y": y, "mask": None if i % 2 else torch.ones(3)},
    "an empty tensor": lambda x, y, i: {"x": x, "y": y, "boxes": torch.zeros(0, 4)},
    "empty containers": lambda x, y, i: {"x": x, "y": y, "targets": [], "more": {}, "rest": ()},
    "numpy not read": lambda x, y, i: {"x": x, "y": y, "id": numpy.arange(8) + i},
    "a numpy number": lambda x, y, i: {"x": x, "y": y, "id": numpy.int64(i)},
    "a set": lambda x, y, i: {"x": x, "y": y, "seen": {i}},
    "an object nobody reads": lambda x, y, i: {"x": x, "y": y, "image": Plain(i, None)},
    "extra keys": lambda x, y, i: {"x": x, "y": y, **({"idx": torch.arange(8)} if i else {})},
    "keys in another sequence": lambda x, y, i: {"y": y, "x": x} if i % 2 else {"x": x, "y": y},
    "int keys": lambda x, y, i: {0: x, 1: y},
    "non-contiguous": lambda x, y, i: {"x": x.T.contiguous().T, "y": y},
    "non-contiguous later": lambda x, y, i: {"x": x.T.contiguous().T if i > 1 else x, "y": y},
    "expanded": lambda x, y, i: {"x": x[:1].expand(8, 12), "y": y},
    "views of one tensor": lambda x, y, i: {"x": torch.cat([x, x], 1)[:, :12], "y": y, "z": x[:, 1:]},
    "the same tensor twice": lambda x, y, i: {"x": x, "y": y, "again": x},
    "the same object refilled": lambda x, y, i: REFILLED(x, y),
    "dtype that changes": lambda x, y, i: {"x": x, "y": y.int() if i == 3 else y},
    "requires grad": lambda x, y, i: {"x": x.clone().requires_grad_(), "y": y},
    "a tensor subclass": lambda x, y, i: {"x": x.as_subclass(Strided), "y": y},
    "a sparse tensor": lambda x, y, i: {"x": x, "y": y, "adjacent": torch.eye(4).to_sparse()},
    "a 0-d tensor that changes": lambda x, y, i: {"x": x, "y": y, "t": torch.tensor(i)},
    "a generator of pairs": lambda x, y, i: ((k, v) for k, v in (("x", x), ("y", y))),
}
BUFFER = {}


def REFILLED(x, y):  # noqa: N802 - a value of the table above
    """Pinned buffers that a prefetcher fills again and again."""
    if not BUFFER:
        BUFFER.update(x=torch.empty_like(x), y=torch.empty_like(y))
    BUFFER["x"].copy_(x)
    BUFFER["y"].copy_(y)
    return BUFFER


MUST = {
    "tuple", "list", "dict", "ModelOutput", "namedtuple", "OrderedDict", "nested", "names that change",
    "a str that changes", "an index that changes", "a float that changes", "None", "an empty tensor",
    "non-contiguous", "namedtuple with a str that changes", "empty containers",
}  # fmt: skip
"""Strings, indices and numbers that nothing reads do not matter."""


OFTEN = {
    "dataclass", "object", "BatchEncoding", "numpy not read", "None or a tensor", "extra keys", "non-contiguous later",
    "dtype that changes", "a list that grows", "the same object refilled", "requires grad",
}  # fmt: skip


def loss(model, b):
    if isinstance(b, Strided | type(x for x in ())):
        b = dict(b)
    if isinstance(b, list | tuple) and not hasattr(b, "x"):
        x, y = b
    elif isinstance(b, collections.abc.Mapping) and 0 in b:
        x, y = b[0], b[1]
    elif isinstance(b, collections.abc.Mapping):
        x, y = b["data"]["x"] if "data" in b else b["x"], b["y"]
        if "boxes" in b:
            return CROSS(model(x), y) + b["boxes"].sum()
    else:
        x, y = b.x, b.y
    return CROSS(model(x).as_subclass(torch.Tensor), y.long())


def with_batches(container, function, count=6):
    def make():
        BUFFER.clear()
        pairs = data(count)
        model = mlp()
        return Situation(model, sgd(model), lambda i: container(*pairs[i % count], i), function)

    return make


@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers(kind):
    slow_unless(kind in MUST or kind in OFTEN)
    compare(with_batches(CONTAINERS[kind], loss)).must_be(PLANNED if kind in MUST else HONEST)


READ = {
    "a float": (lambda x, y, i: {"x": x, "y": y, "w": 1 + i / 4}, lambda b: b["w"]),
    "an int": (lambda x, y, i: {"x": x, "y": y, "w": 1 + i}, lambda b: b["w"]),
    "an int in a tuple": (lambda x, y, i: (x, y, 1 + i), lambda b: b[2]),
    "a bool": (lambda x, y, i: {"x": x, "y": y, "w": i % 2 == 1}, lambda b: 2.0 if b["w"] else 1.0),
    "a str": (lambda x, y, i: {"x": x, "y": y, "w": ("a", "b")[i % 2]}, lambda b: {"a": 1.0, "b": 3.0}[b["w"]]),
    "a list of floats": (lambda x, y, i: {"x": x, "y": y, "w": [1.0, i / 4]}, lambda b: sum(b["w"])),
    "a length": (lambda x, y, i: {"x": x, "y": y, "w": [0] * (i + 1)}, lambda b: len(b["w"])),
    "a number of a dataclass": (lambda x, y, i: Data(x, y, name="n" * i), lambda b: 1 + len(b.name)),
    "a numpy array": (
        lambda x, y, i: {"x": x, "y": y, "w": numpy.full(8, i + 1.0)},
        lambda b: torch.from_numpy(b["w"]),
    ),
    "a numpy mean": (lambda x, y, i: {"x": x, "y": y, "w": numpy.full(8, i + 1.0)}, lambda b: float(b["w"].mean())),
    "a numpy number": (lambda x, y, i: {"x": x, "y": y, "w": numpy.float64(i + 1)}, lambda b: b["w"]),
    "a 0-d tensor": (lambda x, y, i: {"x": x, "y": y, "w": torch.tensor(i + 1.0)}, lambda b: b["w"]),
    "the item of a tensor": (lambda x, y, i: {"x": x, "y": y, "w": torch.tensor(i + 1.0)}, lambda b: b["w"].item()),
    "None or a tensor": (
        lambda x, y, i: {"x": x, "y": y, "w": torch.tensor(3.0) if i % 2 else None},
        lambda b: 1.0 if b["w"] is None else b["w"],
    ),
    "whether a key is there": (
        lambda x, y, i: {"x": x, "y": y, **({"w": 1} if i % 2 else {})},
        lambda b: 1 + ("w" in b),
    ),
    "the whole batch's length": (lambda x, y, i: {"x": x, "y": y, **({"w": 1} if i % 2 else {})}, len),
    "a dict in a dict": (lambda x, y, i: {"x": x, "y": y, "m": {"w": i + 1.0}}, lambda b: b["m"]["w"]),
    "an int that branches": (lambda x, y, i: {"x": x, "y": y, "w": i}, lambda b: 2.0 if b["w"] > 2 else 1.0),
    "an int that slices": (lambda x, y, i: {"x": x, "y": y, "w": 1 + i % 3}, lambda b: b["x"][:, : b["w"]].mean()),
    "an attribute of an object": (lambda x, y, i: {"x": x, "y": y, "o": Plain(i, 0)}, lambda b: 1 + b["o"].x),
    "the device or dtype": (lambda x, y, i: {"x": x, "y": y}, lambda b: 1.0 if b["x"].dtype == torch.float32 else 2.0),
}


@pytest.mark.parametrize("kind", READ)
def test_what_the_step_reads(kind):
    slow_unless(kind not in ("an int in a tuple", "a list of floats", "a numpy mean", "a dict in a dict"))
    container, weight = READ[kind]

    def weighed(model, b):
        x, y = (b["x"], b["y"]) if isinstance(b, dict) else b[:2] if isinstance(b, tuple) else (b.x, b.y)
        return (CROSS(model(x), y, reduction="none") * weight(b)).mean()

    compare(with_batches(container, weighed)).must_be(PLANNED if kind in ("a float", "an int") else HONEST)


CHANGED = {
    "popped": lambda b: b.pop("y"),
    "added to": lambda b: (b.update(seen=1), b["y"])[1],
    "labels in place": lambda b: b["y"].masked_fill_(b["y"] == 3, 0),
    "labels assigned": lambda b: (b.__setitem__("y", b["y"].clamp(max=2)), b["y"])[1],
    "noise in place": lambda b: (b["x"].add_(0.1 * torch.randn(8, 12)), b["y"])[1],
}


@pytest.mark.parametrize("kind", CHANGED)
def test_batches_that_the_step_changes(kind):
    """The batch is the user's: what the step does to it is seen afterwards, as in eager."""

    def make():
        model = mlp()
        batches = [{"x": x, "y": y} for x, y in data(7)]

        def loss(model, b):
            y = CHANGED[kind](b)
            return CROSS(model(b["x"]), y)

        # profile's batch is one of its own: the step eats it
        return Situation(model, sgd(model), lambda i: batches[i], loss, extra=lambda: {"batches": batches})

    compare(make).must_be(HONEST)


@pytest.mark.parametrize(
    "kind", ["tuple", "dict", "dict without loss first", "ModelOutput", "several", "float", "None"]
)
def test_what_a_step_returns(kind):
    def step(model, optimizer, batch):
        out = model(batch[0])
        loss = CROSS(out, batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        hits = (out.argmax(1) == batch[1]).float().mean()
        return {
            "tuple": (loss.detach(), out.detach()),
            "dict": {"loss": loss.detach(), "accuracy": hits, "rows": 8},
            "dict without loss first": {"accuracy": hits, "name": "train", "loss": loss.detach()},
            "ModelOutput": Out(x=loss.detach(), y=hits),
            "several": (loss.detach(), {"hits": hits, "parts": [out.detach()[0], 3]}),
            "float": loss.item() if kind == "float" else None,
            "None": None,
        }[kind]

    def make():
        model = mlp()
        return Situation(model, sgd(model), data(), step=step)

    compare(make).must_be(HONEST)  # a planned step gives back a loss alone, so far


def test_keys_in_another_order():
    """Leaves of one shape and type must not take each other's place."""

    def make():
        made = with_batches(lambda x, y, i: {"x": x, "y": y, "mask": y % 2}, loss)()
        batches = made.batches
        swap = ("x", "mask", "y")  # of the same shapes and types, in another order
        return dataclasses.replace(
            made, batches=lambda i: {key: batches(i)[key] for key in swap} if i % 2 else batches(i)
        )

    compare(make).must_be(PLANNED)
