"""Numbers that a step reads out of tensors: symbols with the value that eager read, or fixed where shapes need them."""

import math

import pytest
import torch
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from roam_lab.capture.host_values import HostValues


def values(*fixed):
    return HostValues(ShapeEnv(), set(fixed))


@pytest.mark.parametrize(
    ("dtype", "answer", "kind"),
    [
        (torch.float32, 2.5, torch.SymFloat),
        (torch.float16, 0.5, torch.SymFloat),
        (torch.int64, 7, torch.SymInt),
        (torch.uint8, 0, torch.SymInt),
        (torch.bool, True, torch.SymBool),
        (torch.bool, False, torch.SymBool),
    ],
)
def test_a_symbol_of_the_kind_and_with_the_value_that_was_read(dtype, answer, kind):
    read = values()
    number = read.read(dtype, answer, "train.py:3")
    assert type(number) is kind
    assert number.node.hint == answer
    assert list(read.symbols.values()) == [0]
    assert read.constants == {}
    assert read.lines == ["train.py:3"]


def test_numbers_are_counted_as_they_are_read():
    read = values()
    for line in ("a", "b", None):
        read.read(torch.float32, 1.0, line)
    assert sorted(read.symbols.values()) == [0, 1, 2]
    assert read.lines == ["a", "b", None]


def test_two_reads_of_equal_numbers_are_two_symbols():
    """They are equal in this step only."""
    read = values()
    first, second = (read.read(torch.int64, 4, None) for _ in range(2))
    assert first.node.expr != second.node.expr


def test_a_branch_on_a_number_is_taken_as_eager_took_it_and_is_a_guard():
    read = HostValues(environment := ShapeEnv(), set())
    number = read.read(torch.float32, 2.5, None)
    taken = "large" if number * 2 > 4 else "small"
    assert taken == "large"
    (guard,) = environment.guards
    (symbol,) = read.symbols
    assert guard.expr.subs({symbol: 2.5}) == True  # noqa: E712  # sympy's own truth
    assert guard.expr.subs({symbol: 1.0}) == False  # noqa: E712


@pytest.mark.parametrize(("answer", "taken"), [(True, "yes"), (False, "no")])
def test_a_branch_on_a_truth_value(answer, taken):
    read = HostValues(environment := ShapeEnv(), set())
    assert ("yes" if read.read(torch.bool, answer, None) else "no") == taken
    (symbol,) = read.symbols
    (guard,) = environment.guards
    assert bool(guard.expr.subs({symbol: int(answer)}))
    assert not bool(guard.expr.subs({symbol: int(not answer)}))


def test_numbers_that_shapes_depend_on_are_fixed():
    read = values(1)
    read.read(torch.int64, 5, None)
    assert read.read(torch.int64, 6, "train.py:4") == 6
    assert read.constants == {1: 6}
    assert list(read.symbols.values()) == [0]


@pytest.mark.parametrize("answer", [math.inf, -math.inf, math.nan])
def test_numbers_of_which_no_symbol_can_be_made(answer):
    read = values()
    assert read.read(torch.float32, answer, None) is answer
    assert read.symbols == {}
    assert read.constants == {0: answer}


def test_without_a_log_the_answer_is_not_known():
    read = values()
    assert read.read(torch.float32, None, "train.py:5") is None
    assert (read.symbols, read.constants, read.lines) == ({}, {}, ["train.py:5"])
