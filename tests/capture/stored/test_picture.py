"""What a step reaches, as digests: another value, class or function anywhere is another picture, and is named."""

import collections
import enum
import functools
import re
import types
from fractions import Fraction
from pathlib import PurePosixPath

import numpy
import pytest
import torch
from torch import nn

from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.picture import first_difference, picture_of


def picture(value, left_out=()):
    """Of a step whose model holds this value."""
    model = nn.Linear(2, 2)
    model.held = value
    reachable = reach({"model": model})
    return picture_of(reachable, [*reachable.containers, *reachable.code], left_out)


def test_an_address_is_not_looked_at():
    """What a function of torch's notes of itself is another number in each process."""

    def checkpoint():
        pass

    checkpoint._torchdynamo_wrapper_id = id(checkpoint)
    before = picture(checkpoint)
    checkpoint._torchdynamo_wrapper_id += 1
    assert picture(checkpoint) == before
    checkpoint.other = 1
    assert picture(checkpoint) != before


def test_the_sequence_of_a_trainers_columns_is_not_looked_at():
    """It is that of a set, another one in each process."""
    first, second = (types.SimpleNamespace(_signature_columns=list(names), labels=["a"]) for names in ("ab", "ba"))
    assert picture(first) == picture(second)
    second.labels = ["b"]
    assert picture(first) != picture(second)


class Colour(enum.Enum):
    RED, BLUE = 1, 2


class Celsius(float):
    pass


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


Pair = collections.namedtuple("Pair", "one two")


def scaled(x, by=2.0):
    return x * by


def closed_over(value):
    return lambda x: x * value


PAIRS = [
    (1, 2), (1, 1.0), (1, True), (0.0, -0.0), ("a", "b"), (b"a", "a"), (None, False), (1 + 1j, 1 - 1j),
    ((1, 2), (1, 3)), ((1, 2), [1, 2]), ([1, [2]], [1, [3]]), ({"a": 1}, {"a": 2}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1, 2}, {1, 3}), (frozenset({1}), frozenset({2})), (Pair(1, (2,)), Pair(1, (3,))), (Colour.RED, Colour.BLUE),
    (Celsius(1.0), Celsius(2.0)), (Celsius(1.0), 1.0), (Slotted(1), Slotted(2)), (Fraction(1, 2), Fraction(1, 3)),
    (types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)), (re.compile("a"), re.compile("b")),
    (PurePosixPath("a"), PurePosixPath("b")), (torch.float32, torch.float64),
    (torch.device("cpu"), torch.device("meta")),
    (numpy.float32(1), numpy.float32(2)), (numpy.float32(1), numpy.float64(1)), (numpy.zeros(2), numpy.ones(2)),
    (numpy.zeros(2), numpy.zeros(2, "float32")), (nn.ReLU(), nn.GELU()), (nn.Dropout(0.1), nn.Dropout(0.2)),
    (functools.partial(scaled, by=1.0), functools.partial(scaled, by=2.0)), (closed_over(1), closed_over(2)),
    (lambda x: x + 1, lambda x: x + 2), (torch.zeros(2), torch.zeros(3)), (torch.zeros(2), torch.zeros(2).double()),
    (torch.zeros(2), torch.zeros(2, requires_grad=True)), (torch.zeros(2, 3), torch.zeros(3, 2).t()),
    (collections.deque([1]), collections.deque([2])), (slice(1), slice(2)), (range(1), range(2)),
    (torch.relu, torch.tanh), (nn.functional.gelu, nn.functional.silu), (int, float),
    (collections.OrderedDict(a=1), {"a": 1}), (functools.lru_cache(scaled), functools.lru_cache(closed_over)),
    (bytearray(b"a"), bytearray(b"b")), (nn.ReLU().forward, nn.GELU().forward),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_another_value_is_another_picture(one, other):
    before = picture(one)
    assert picture(one) == before
    different = first_difference(before, picture(other))
    assert different is not None


def test_what_differs_is_named():
    before, now = (picture({"rates": [0.1, rate]}) for rate in (0.2, 0.3))
    assert first_difference(before, now) == "model.held['rates'][1]"
    assert first_difference(before, before) is None


def test_contents_of_tensors_do_not_count():
    assert picture(torch.zeros(3)) == picture(torch.ones(3))


def test_shared_memory_counts():
    one = torch.zeros(4)
    assert picture([one, one[:]]) != picture([torch.zeros(4), torch.zeros(4)])


def test_one_object_at_two_places_is_not_two():
    one = [1]
    assert picture([one, one]) != picture([[1], [1]])


def test_what_is_left_out_does_not_count():
    assert picture({"a": 1}, ["model.held['a']"]) == picture({"a": 2}, ["model.held['a']"])
    assert picture({"a": 1, "ab": 1}, ["model.held"]) == picture({"a": 2}, ["model.held"])


def test_code_of_methods_counts():
    def kind(number):
        space = {}
        exec(f"class Kind:\n    def call(self):\n        return {number}\n", {"__name__": "own"}, space)
        return space["Kind"]()

    assert picture(kind(1)) == picture(kind(1))
    assert picture(kind(1)) != picture(kind(2))


def test_what_cannot_be_seen_is_refused():
    match = re.match("a", "a")
    with pytest.raises(NotStoredError, match=r"reaches model.held, a re.Match, whose contents cannot be seen"):
        picture(match)


def test_what_is_too_long_is_refused():
    with pytest.raises(NotStoredError, match="not all can be looked at"):
        picture(list(range(20_000)))
    with pytest.raises(NotStoredError, match="an array too large"):
        picture(numpy.zeros(100_000))
