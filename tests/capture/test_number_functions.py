"""Functions of `math` and NumPy, called with symbols while a step is traced, and with numbers afterwards."""

import math
import sys

import numpy
import pytest
import sympy
import torch
from torch import nn

from roam_lab.capture import as_step, capture_step
from roam_lab.capture.number_functions import in_conditions, node_targets, sympy_functions
from roam_lab.capture.stored.expressions import expression_from_data, expression_to_data
from roam_lab.capture.stored.ops import op_from_data, op_to_data


class Model(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.linear, self.factor, self.count = nn.Linear(4, 4), factor, 3

    def forward(self, x):
        self.count += 1
        return (self.linear(x) * self.factor(self.count)).square().mean()


def captured(factor):
    model = Model(factor)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return capture_step(model, optimizer, torch.ones(2, 4), as_step())


def functions_in(made):
    return [node.target for node in made.trace.module.graph.nodes if node.target in node_targets.values()]


def test_the_call_is_a_node_and_no_condition():
    made = captured(lambda count: 1 + math.exp(-count) + numpy.cos(count))
    assert functions_in(made) == [node_targets["math_exp"], node_targets["numpy_cos"]]
    assert [one for one in made.trace.guards if "cos" in str(one)] == []
    assert math.exp.__module__ == "math"  # as before
    assert not hasattr(torch.SymFloat, "__array_ufunc__")


def test_a_function_that_may_raise_has_a_condition():
    (condition,) = captured(lambda count: math.log(count)).trace.guards
    (symbol,) = condition.free_symbols
    assert bool(condition.subs({symbol: 7}))
    assert not bool(condition.subs({symbol: -1}))  # the count is one more then


def test_branches_on_results_are_conditions():
    (condition,) = captured(lambda count: 1.0 if numpy.sqrt(count) < 3 else 2.0).trace.guards
    (symbol,) = condition.free_symbols
    assert bool(condition.subs({symbol: 7}))
    assert not bool(condition.subs({symbol: 8}))
    assert expression_from_data(expression_to_data(condition)) == condition


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", sorted(name for name in node_targets if not name.endswith("_returns")))
def test_numbers_go_to_the_function_itself(name):
    home, _, short = name.partition("_")
    function, target = getattr(sys.modules[home], short), node_targets[name]
    for numbers in ((0.25,), (2,), (0.25, 1.5), (-3.0,)):
        try:
            expected = function(*numbers)
        except (TypeError, ValueError, ArithmeticError) as error:
            with pytest.raises(type(error)):
                target(*numbers)
            if not isinstance(error, TypeError):
                assert math.isnan(in_conditions[name](*numbers))
            continue
        assert type(target(*numbers)) is type(expected)
        assert numpy.array_equal(target(*numbers), expected, equal_nan=True)
        found = sympy_functions[name](*map(sympy.sympify, numbers))
        assert numpy.array_equal(float(found), float(expected), equal_nan=True)
    assert op_from_data(op_to_data(target)) is target
