"""Values, ops and expressions as JSON: what comes back is the same, bit by bit, and nothing else is read."""

import json
import math
import operator

import pytest
import sympy
import torch

from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.expressions import expression_from_data, expression_to_data, symbol_of
from roam_lab.capture.stored.ops import op_from_data, op_to_data
from roam_lab.capture.stored.values import value_from_data, value_to_data
from roam_lab.capture.torch_internals import sympy_functions


def again(data):
    return json.loads(json.dumps(data))


@pytest.mark.parametrize(
    "value",
    [None, True, 1, -0.0, 0.1, math.inf, "a", b"\xff", 1 + 2j, [1, (2.0, [None])], (), torch.float16, torch.strided,
     torch.channels_last, torch.device("cuda", 1)],
)  # fmt: skip
def test_a_value_comes_back(value):
    back = value_from_data(again(value_to_data(value)))
    assert (type(back), repr(back)) == (type(value), repr(value))


def test_other_values_are_refused():
    with pytest.raises(NotStoredError, match="holds a set"):
        value_to_data({1})


@pytest.mark.parametrize("data", [{"dtype": "float3"}, {"dtype": "nn"}, {"tuple": [], "device": "cpu"}, {"eval": "1"}])
def test_other_data_are_refused(data):
    with pytest.raises(NotStoredError):
        value_from_data(data)


@pytest.mark.parametrize("op", [torch.ops.aten.mm.default, torch.ops.aten.add.Tensor, operator.pow, math.sqrt])
def test_an_op_comes_back(op):
    assert op_from_data(op_to_data(op)) is op


@pytest.mark.parametrize("op", [eval, print, len, torch.ops.aten.from_file.default, torch.nn.functional.relu])
def test_what_is_no_op_is_not_written(op):
    with pytest.raises(NotStoredError):
        op_to_data(op)


@pytest.mark.parametrize(
    "name",
    ["builtins.eval", "os.system", "aten.mm", "aten.mm.other", "aten.mm._schema", "aten.from_file.default", "math.e",
     "torch.load", "aten.__class__.default", None, {}, "operator.methodcaller", "c10d.allreduce_.default"],
)  # fmt: skip
def test_what_is_no_op_is_not_read(name):
    with pytest.raises(NotStoredError):
        op_from_data(name)


x, n = symbol_of("x", integer=False), symbol_of("n", integer=True)


@pytest.mark.parametrize(
    "expression",
    [
        sympy.Ne(x, 0.1),
        sympy.Ge(1.0 - sympy_functions["FloatPow"](x, symbol_of("y", integer=False)), 0.0),
        sympy.And(sympy.Lt(n, 3), sympy.Gt(x, sympy.Rational(1, 3))),
        sympy.Or(sympy.Not(sympy.Eq(n, 1)), sympy.Le(x * 2, 1)),
        sympy.true,
    ],
)
def test_an_expression_comes_back(expression):
    back = expression_from_data(again(expression_to_data(expression)))
    assert back == expression
    assert sympy.srepr(back) == sympy.srepr(expression)


def test_other_functions_are_refused():
    with pytest.raises(NotStoredError, match="holds sin"):
        expression_to_data(sympy.Ne(sympy.sin(x), 0.0))


@pytest.mark.parametrize(
    "data", [{"call": "sympify", "on": ["x"]}, "x", {"call": "Add"}, None, {"symbol": None, "a": 1}]
)
def test_other_trees_are_refused(data):
    if isinstance(data, dict) and "symbol" in data:
        assert expression_from_data(data).name == "None"  # a name is only a name
        return
    with pytest.raises(NotStoredError):
        expression_from_data(data)


def test_a_tree_that_is_too_deep_is_refused():
    data = 1.5
    for _ in range(500):
        data = {"call": "Abs", "on": [data]}
    with pytest.raises(NotStoredError):
        expression_from_data(data)
