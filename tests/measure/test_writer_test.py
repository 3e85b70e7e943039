"""Writers are tried on the real arguments of an eager step; what does not give the op's bits is found out."""

import copy

import pytest
import torch
from torch import nn

from roam_lab.capture import as_step, capture_step, writers
from roam_lab.capture.writers import geometry, writer_for
from roam_lab.errors import MismatchError
from roam_lab.measure import writer_test
from roam_lab.measure.writer_test import try_writer
from roam_lab.plan import make_plan
from roam_lab.runtime import hook

aten = torch.ops.aten
BATCH_NORM = aten.native_batch_norm.default


@pytest.fixture(autouse=True)
def untried(monkeypatch):
    """As in a new process: nothing was tried, nothing is known to be untrue."""
    monkeypatch.setattr(writers, "_untrue", {})
    monkeypatch.setattr(writer_test, "_tried", set())


def tried(func, *args, **kwargs):
    """Whether the op's writer is true on these arguments. The op must have one."""
    result = func(*args, **kwargs)
    assert writer_for(func, args, result) is not None
    try_writer(func, args, kwargs, result)
    return not writers._untrue


def norm(x):
    """What batch norm is given for `x`, in training."""
    width = x.shape[1]
    return (x, torch.ones(width), torch.zeros(width), torch.zeros(width), torch.ones(width), True, 0.1, 1e-5)


def test_batch_norm_of_a_transpose_is_untrue():
    """Its out= kernel writes garbage where the input is not laid out row by row."""
    assert not tried(BATCH_NORM, *norm(torch.randn(8, 6, 5).transpose(1, 2)))


def test_batch_norm_of_rows_is_true():
    assert tried(BATCH_NORM, *norm(torch.randn(8, 5, 6)))


def test_running_statistics_are_not_touched():
    """The op writes them though its schema does not say so; the trial must not do it once more."""
    arguments = norm(torch.randn(8, 5, 6))
    result = BATCH_NORM(*arguments)
    before = [one.clone() for one in arguments[:5]]
    try_writer(BATCH_NORM, arguments, {}, result)
    assert all(map(torch.equal, arguments[:5], before))
    assert not torch.equal(arguments[3], torch.zeros(5))  # the op itself has written


x, y = torch.randn(6, 5), torch.randn(6, 5)
ORDINARY = [
    (aten.add.Tensor, (x, y)),
    (aten.mul.Scalar, (x, 2.0)),
    (aten.mm.default, (x, y.t())),
    (aten.mm.default, (x.t(), y)),
    (aten.addmm.default, (torch.randn(6), x, y.t())),
    (aten.threshold_backward.default, (x, y, 0)),
    (aten.gelu.default, (x.t(),)),
    (aten._softmax.default, (x, 1, False)),
    (aten._log_softmax.default, (x, 0, False)),
    (aten.tanh.default, (x[:, ::2],)),
    (aten.sum.dim_IntList, (x, [0])),
    (aten.mean.dim, (x.t(), [1], True)),
    (aten.cat.default, ([x, y],)),
    (aten.clone.default, (x.t(),)),
    (aten.embedding.default, (x, torch.tensor([[0, 3], [5, 5]]))),
    (aten.embedding_dense_backward.default, (torch.randn(4, 5), torch.tensor([0, 3, 3, 5]), 6, -1, False)),
    (aten.full_like.default, (x, 3.5)),
    (aten.gt.Scalar, (x, 0)),
    (aten.constant_pad_nd.default, (x, [1, -1, 0, 2], 7.0)),
]


@pytest.mark.parametrize(("func", "args"), ORDINARY, ids=lambda value: str(value) if callable(value) else "")
def test_ordinary_ops_are_true(func, args):
    before = copy.deepcopy(args)
    assert tried(func, *args)
    for one, other in zip(torch.utils._pytree.tree_leaves(args), torch.utils._pytree.tree_leaves(before), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def lying(monkeypatch, function):
    """relu, which has no writer, gets one that is not true."""
    monkeypatch.setattr(writers, "SPECIAL", {**writers.SPECIAL, aten.relu.default: function})


LIES = {
    "another number": lambda outs, value: outs[0].copy_(value).clamp_(min=1e-3),
    "nothing written": lambda outs, value: None,
    "the last entry not written": lambda outs, value: outs[0][:-1].copy_(value.relu()[:-1]),
    "other memory": lambda outs, value: outs[0].set_(value.relu().untyped_storage(), 0, value.shape, value.stride()),
    "another form": lambda outs, value: outs[0].copy_(value.relu()).t_(),
    "minus zero": lambda outs, value: outs[0].copy_(value.relu()).mul_(-1).abs_().neg_().abs_().mul_(-1),
    "an error": lambda outs, value: outs[0].view(-1, 77),
}


@pytest.mark.parametrize("lie", LIES)
def test_every_kind_of_lie_is_found(lie, monkeypatch):
    lying(monkeypatch, LIES[lie])
    assert not tried(aten.relu.default, torch.tensor([[0.0, 1.0, 2.0], [3.0, -4.0, 5.0]]))


def test_of_one_geometry_it_is_tried_once_and_of_another_again(monkeypatch):
    calls = []
    lying(monkeypatch, lambda outs, value: calls.append(tuple(value.shape)) or outs[0].copy_(value.relu()))
    for size in (3, 3, 4):
        assert tried(aten.relu.default, torch.ones(size, 2))
    assert calls == [(3, 2), (4, 2)]


def test_only_this_geometry_is_noted():
    transposed = torch.randn(8, 6, 5).transpose(1, 2)
    assert not tried(BATCH_NORM, *norm(transposed))
    assert writers._untrue == {BATCH_NORM: {geometry(norm(transposed))}}
    assert geometry(norm(transposed)) != geometry(norm(transposed.contiguous()))


def test_large_results_are_not_tried(monkeypatch):
    lying(monkeypatch, lambda outs, value: None)
    monkeypatch.setattr(writer_test, "MOST_BYTES", 100)
    assert tried(aten.relu.default, torch.ones(26))
    assert not tried(aten.relu.default, torch.ones(25))


def test_random_numbers_are_not_drawn_twice():
    mask = aten.bernoulli.p
    values = torch.ones(5)
    result = mask(values, 0.5)
    state = torch.get_rng_state()
    try_writer(mask, (values, 0.5), {}, result)
    assert torch.equal(torch.get_rng_state(), state)


class Transposed(nn.Module):
    """Batch norm of a transpose, as after attention over channels."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(5, 5), nn.BatchNorm1d(5)

    def forward(self, x):
        return self.norm(self.linear(x).transpose(1, 2))


def test_a_step_with_an_untrue_writer_is_planned_and_identical():
    torch.manual_seed(0)
    model, batch = Transposed(), torch.randn(8, 6, 5)
    twin = copy.deepcopy(model)
    step = as_step(lambda model, batch: model(batch).pow(2).mean())
    one, other = (torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, twin))
    plan = make_plan(capture_step(model, one, batch, step).graph)
    planned = hook(plan, model, one, step=step)
    for _ in range(3):
        assert torch.equal(planned(batch), step(twin, other, batch))
    assert planned.planned_steps == 3, planned.reasons
    assert writers._untrue
    for mine, eager in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(mine, eager)


def test_an_untrue_writer_elsewhere_does_not_make_another_step_the_planned_one():
    """A plan for another optimizer is refused, whatever this process learnt of ops that the step does not run."""
    tried(BATCH_NORM, *norm(torch.randn(4, 6, 5).transpose(1, 2)))
    assert writers._untrue
    model, batch = nn.Linear(5, 3), torch.randn(8, 5)
    step = as_step(lambda model, batch: model(batch).pow(2).mean())
    adam, sgd = (kind(model.parameters(), lr=0.1) for kind in (torch.optim.Adam, torch.optim.SGD))
    plan = make_plan(capture_step(model, adam, batch, step).graph)
    with pytest.raises(MismatchError, match="another training step"):
        hook(plan, model, sgd, step=step)(batch)
