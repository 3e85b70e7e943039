"""Row-wise ops: a run of a few rows, and a run over what is read, give the bits of the whole op."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.fx import Node

from roam_lab.capture.captured import capture_step
from roam_lab.capture.row_wise import fills_its_storage, reuse_of, row_wise, rows_of
from roam_lab.capture.writers import find_writer
from roam_lab.runtime.row_chains import call_of, is_in_place
from tests.zoo import adamw

aten = torch.ops.aten
ROWS = (1, 3, 16)
DTYPES = (torch.float32, torch.float64, torch.bfloat16)


class Many(torch.nn.Module):
    """Each kind of op that can be run by rows or in place."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(24, 50)  # no multiple of a vector register's entries
        self.norm = torch.nn.LayerNorm(50)
        self.head = torch.nn.Linear(50, 37)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = self.norm(torch.nn.functional.gelu(self.inner(x), approximate="tanh"))
        x = x + torch.nn.functional.silu(x) * torch.tanh(x)
        x = torch.softmax(x, -1) * x.sigmoid()
        x = torch.where(x > 0.01, x, x.relu() - 0.5 * x**2)
        return torch.nn.functional.cross_entropy(self.head(x).flatten(0, 1), y.flatten())


def nodes(dtype: torch.dtype) -> list[Node]:
    torch.manual_seed(0)
    model = Many().to(dtype)
    batch = {"x": torch.randn(4, 12, 24, dtype=dtype), "y": torch.randint(0, 37, (4, 12))}
    captured = capture_step(model, adamw(model.parameters()), batch)
    return list(captured.step.nodes)


def real(fake: torch.Tensor) -> torch.Tensor:
    """Random values in the form of a fake."""
    if not fake.is_floating_point():
        return torch.randint(0, 2, fake.shape).to(fake.dtype)
    return torch.empty_strided(fake.shape, fake.stride(), dtype=fake.dtype).normal_().sigmoid_()


def given(node: Node) -> dict[Node, torch.Tensor]:
    return {one: real(one.meta["val"]) for one in node.all_input_nodes if isinstance(one.meta.get("val"), torch.Tensor)}


def filled(node: Node, values: dict[Node, Any], arguments: Any) -> list[Any]:
    return [values.get(one, 0.5) if isinstance(one, Node) else one for one in arguments]


def named(node: Node) -> dict[str, Any]:
    return {key: 0.5 if isinstance(one, Node) else one for key, one in node.kwargs.items()}


def results(value: Any) -> list[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else list(value)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_few_rows_at_a_time_are_the_bits_of_the_whole(dtype: torch.dtype) -> None:
    seen: set[str] = set()
    for node in nodes(dtype):
        part = row_wise(node)
        if part is None:
            continue
        values = given(node)
        function, arguments, names = call_of(node, part)
        whole = {one: value.clone() for one, value in values.items()}
        expected = results(node.target(*filled(node, whole, node.args), **named(node)))  # type: ignore[operator]
        for step in ROWS:
            rows = {one: values[one].clone().reshape(shape) for one, shape in part.forms.items()}
            wholes = {one: values[one].clone().reshape(shape) for one, shape in part.whole.items()}
            outs = [torch.empty(shape, dtype=made.dtype) for shape, made in zip(part.results, expected, strict=True)]
            for first in range(0, part.rows, step):
                run = {one: value[first : first + step] for one, value in rows.items()} | wholes
                places = [out[first : first + step] for out in outs]
                if is_in_place(node):
                    function(*filled(node, run, arguments), **named(node))
                elif names:
                    function(*filled(node, run, arguments), **named(node), **dict(zip(names, places, strict=True)))
                else:
                    function(tuple(places), *filled(node, run, arguments), **named(node))
            found = [rows[node.args[0]]] if is_in_place(node) else outs  # type: ignore[index]
            for made, out in zip(expected, found, strict=True):
                assert torch.equal(made.reshape(out.shape), out), (node.target, step)
        seen.add(str(node.target))
    expected = {"aten._log_softmax.default", "aten.nll_loss_backward.default", "aten.mul_.Tensor", "aten.sqrt.default"}
    assert expected <= seen


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_result_over_what_is_read_has_the_same_bits(dtype: torch.dtype) -> None:
    seen: set[str] = set()
    for node in nodes(dtype):
        pairs = list(reuse_of(node))
        if not pairs:
            continue
        writer = find_writer(node)
        assert writer is not None
        assert writer.function is not None
        values = given(node)
        expected = node.target(*filled(node, values, node.args), **named(node))  # type: ignore[operator]
        result = node.meta["val"]
        for one in values:
            form = (one.meta["val"].shape, one.meta["val"].stride(), one.meta["val"].dtype)
            if form != (result.shape, result.stride(), result.dtype) or not fills_its_storage(one.meta["val"]):
                continue
            mine = {other: value.clone() for other, value in values.items()}
            over = mine[one]
            if writer.names:
                writer.function(*filled(node, mine, node.args), **named(node), **{writer.names[0]: over})
            else:
                writer.function((over,), *filled(node, mine, node.args), **named(node))
            assert torch.equal(over, expected), (node.target, one)
            seen.add(str(node.target))
    assert {"aten.tanh.default", "aten._log_softmax_backward_data.default", "aten.mul.Tensor"} <= seen


def node_of(function: Any, *args: torch.Tensor) -> Node:
    """The last op of a function, traced."""
    traced = torch.fx.experimental.proxy_tensor.make_fx(function, tracing_mode="fake")(*args)
    return next(node for node in reversed(traced.graph.nodes) if node.op == "call_function")


def test_what_does_not_work_by_rows_is_none() -> None:
    x = torch.randn(4, 6)
    assert rows_of(node_of(lambda a: a.exp(), x)) == 4
    assert rows_of(node_of(lambda a: aten.exp(a), torch.randn(8, 4, 6))) == 32
    assert rows_of(node_of(lambda a: aten.exp(a), torch.randn(12))) == 12
    assert rows_of(node_of(lambda a: aten.exp(a), x.t())) is None
    assert rows_of(node_of(lambda a: aten.exp(a), torch.randn(1, 6))) is None
    assert rows_of(node_of(lambda a: aten._softmax(a, 0, False), x)) is None
    assert rows_of(node_of(lambda a: aten.sum(a, [1]), x)) is None
    assert rows_of(node_of(lambda a, b: aten.add(a, b), x, torch.randn(6))) == 4
    assert rows_of(node_of(lambda a, b: aten.add(a, b), x, torch.randn(4, 1))) == 4
    square = row_wise(node_of(lambda a, b: aten.add(a, b), torch.randn(4, 4), torch.randn(4)))
    assert square is not None
    assert (list(square.forms.values()), list(square.whole.values())) == ([(4, 4)], [(4,)])  # of the last dimension
    assert rows_of(node_of(lambda a, b: aten.add(a, b), torch.randn(4, 4, 4), torch.randn(4, 4))) is None
    three = torch.randn(2, 4, 6)
    assert rows_of(node_of(lambda a, b: aten.add(a, b), three, torch.randn(4, 6))) is None
    assert rows_of(node_of(lambda a, b: aten.add(a, b), three, torch.randn(2, 1, 6))) is None


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "silu", "rsqrt"])
def test_what_rounds_the_last_entries_otherwise_does_not_work_by_rows(name: str) -> None:
    assert rows_of(node_of(lambda a: getattr(aten, name)(a), torch.randn(4, 6))) is None


def test_what_is_scaled_or_fused_in_half_precision_does_not_work_by_rows() -> None:
    x, half = torch.randn(4, 6), torch.randn(4, 6).bfloat16()
    assert rows_of(node_of(lambda a: aten.add(a, a, alpha=0.3), x)) is None
    assert rows_of(node_of(lambda a: aten.addcmul(a, a, a), x)) == 4
    assert rows_of(node_of(lambda a: aten.addcmul(a, a, a), half)) is None


def test_what_may_not_be_written_over_has_no_pair() -> None:
    x = torch.randn(4, 6)
    assert len(list(reuse_of(node_of(lambda a: aten.exp(a), x)))) == 1
    assert not list(reuse_of(node_of(lambda a: aten.mm(a, a), torch.randn(4, 4))))
    assert not list(reuse_of(node_of(lambda a: aten.add(a, 1.0), torch.randint(0, 3, (4, 6)))))
    assert not list(reuse_of(node_of(lambda a: aten.gt(a, 0.0), x)))
    assert not list(reuse_of(node_of(lambda a: aten.exp(a), torch.randn(8, 6)[::2])))
    square = torch.randn(4, 4)
    assert len(list(reuse_of(node_of(lambda a: aten.add(a, a), square)))) == 1
    assert not list(reuse_of(node_of(lambda a: aten.add(a, a.t()), square)))
    assert not list(reuse_of(node_of(lambda a: aten.bitwise_and(a.transpose(0, 1), a), square > 0)))


def test_a_safe_softmax_over_what_it_reads_knows_which_rows_are_masked() -> None:
    source = torch.randn(3, 4, 5)
    source[0, 1], source[1, 2, :3], source[2, 0, 1] = -torch.inf, -torch.inf, torch.nan
    node = node_of(lambda a: aten._safe_softmax(a, -1), source)
    writer, part = find_writer(node), row_wise(node)
    assert writer is not None
    assert writer.function is not None
    assert part is not None
    assert part.rows == 12
    assert len(list(reuse_of(node))) == 1
    over, expected = source.clone(), aten._safe_softmax(source, -1)
    writer.function((over,), over, -1)
    assert torch.equal(over.nan_to_num(7), expected.nan_to_num(7))
    assert not expected[0, 1].any()
