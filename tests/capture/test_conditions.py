"""When the conditions of a step on values are known, and what has to be undone where one is known late."""

import torch
from torch import nn

from roam_lab.capture import TrainingStep, as_step, capture_step
from roam_lab.capture.conditions import checks_inside, slice_of, written_before_checks
from roam_lab.capture.nodes import tensors_of
from roam_lab.measure.eager import record


def mean_square(model, batch):
    return model(batch).pow(2).mean()


class Model(nn.Module):
    """A linear layer, with `before(self, x)` done to its input and `after(self, y)` to its output."""

    def __init__(self, before=None, after=None):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))
        self._before, self._after = before, after

    def forward(self, x):
        x = x if self._before is None else self._before(self, x)
        y = self.linear(x)
        return y if self._after is None else self._after(self, y)


def captured(model, batch=None, step=None, optimizer=None):
    batch = torch.ones(3, 4) if batch is None else batch
    step = step or as_step(mean_square)
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    log = record(TrainingStep(model, optimizer, step), batch).log
    return capture_step(model, optimizer, batch, step, log=log)


def targets(nodes):
    return [str(node.target) for node in nodes if node.op == "call_function"]


def test_a_step_without_values_has_none():
    found = captured(Model())
    assert (found.conditions, found.undone) == ((), ())


def test_constants_of_the_step_never_change():
    def constant(self, x):
        return x * 2 if torch.tensor([1.0, 2.0]).sum() > 2 else x

    (placed,) = captured(Model(constant)).conditions
    assert (placed.when, placed.slice) == ("never", ())


def test_the_batch_is_known_before():
    def of_batch(self, x):
        return x * 2 if (x.abs() + 1).max() > 1.5 else x

    (placed,) = captured(Model(of_batch)).conditions
    assert placed.when == "before"
    assert targets(placed.slice) == [
        "aten.abs.default",
        "aten.add.Tensor",
        "aten.max.default",
        "aten.gt.Scalar",
        "aten._local_scalar_dense.default",
    ]
    assert "test_conditions.py:" in placed.condition.source
    assert [placed.condition.holds(value) for value in (1, 0)] == [True, False]


def test_a_small_buffer_is_known_before():
    def of_buffer(self, x):
        return x * 2 if self.scale > 0.5 else x

    (placed,) = captured(Model(of_buffer)).conditions
    assert placed.when == "before"
    assert next(node.op for node in placed.slice) == "placeholder"


def test_a_write_into_what_is_read_is_part_of_the_slice():
    def counts(self, x):
        self.seen.add_(1)
        return x * 2 if self.seen > 2 else x

    (placed,) = captured(Model(counts)).conditions
    assert placed.when == "before"
    assert targets(placed.slice) == ["aten.add_.Tensor", "aten.gt.Scalar", "aten._local_scalar_dense.default"]


def test_a_later_write_is_not():
    def counts(self, x):
        y = x * 2 if self.seen > 2 else x
        self.seen.add_(1)
        return y

    (placed,) = captured(Model(counts)).conditions
    assert targets(placed.slice) == ["aten.gt.Scalar", "aten._local_scalar_dense.default"]


def test_many_ops_are_too_many_before():
    def long(self, y):
        size = self.linear.weight
        for _ in range(20):
            size = size.detach() * 0.5
        return y * 2 if size.sum() > 100 else y

    (placed,) = captured(Model(after=long)).conditions
    assert (placed.when, placed.slice) == ("inside", ())


def test_random_numbers_are_drawn_inside():
    def dropped(self, x):
        return x if torch.rand(()) < 2 else x * 2

    (placed,) = captured(Model(dropped)).conditions
    assert placed.when == "inside"


def clipping(model, optimizer, batch):
    """An update that is left out where the gradient is not finite; the buffer is counted up before."""
    model.seen.add_(1)
    loss = mean_square(model, batch)
    for _ in range(12):
        loss = loss * 1.0
    loss.backward()
    if torch.isfinite(model.linear.weight.grad).all():
        optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def test_what_is_written_before_a_condition_inside_is_undone():
    found = captured(Model(), step=clipping)
    (placed,) = found.conditions
    assert placed.when == "inside"
    assert [found.trace.inputs[list(found.trace.module.graph.nodes).index(node)].path for node in found.undone] == [
        ("seen",)
    ]


def test_a_check_stands_where_its_last_number_is_read():
    def two(self, y):
        first, second = y.sum().item(), (y.abs() + torch.rand(())).sum().item()
        return y * 2 if first < second + 1 else y

    found = captured(Model(after=two))
    (placed,) = found.conditions
    assert placed.when == "inside"
    first, second = placed.condition.nodes
    assert str(first.target) == str(second.target) == "aten._local_scalar_dense.default"
    assert first < second
    assert checks_inside(found.conditions, found.trace.module.graph) == {second: (first,)}


def test_what_is_written_after_the_last_check_need_not_be_undone():
    found = captured(Model(), step=clipping)
    graph = found.trace.module.graph
    checks = checks_inside(found.conditions, graph)
    assert [str(node) for node in written_before_checks(graph, checks)] == [str(node) for node in found.undone]
    assert written_before_checks(graph, {}) == ()
    (output,) = [node for node in graph.nodes if node.op == "output"]
    at_the_end = written_before_checks(graph, {output: ()})
    kinds = dict(zip([node for node in graph.nodes if node.op == "placeholder"], found.trace.inputs, strict=True))
    assert {kinds[node].path for node in at_the_end} == {("seen",), ("linear.weight",), ("linear.bias",)}


def test_the_slice_of_an_output_is_the_whole_way_to_it():
    graph = captured(Model()).trace.module.graph
    (output,) = [node for node in graph.nodes if node.op == "output"]
    loss = output.args[0][0]
    assert slice_of([loss], graph)[-1] is loss
    assert all(node.op != "output" for node in slice_of([loss], graph))
    assert sum(tensors_of(node) != [] for node in slice_of([loss], graph)) > 3
