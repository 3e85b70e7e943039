"""Arithmetic of matrix products and convolutions."""

from __future__ import annotations

import torch

from roam_lab.capture import flops
from roam_lab.capture.captured import capture_step
from tests.zoo import adamw


class Both(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.last = torch.nn.Linear(8 * 6 * 6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).relu().flatten(1)).sum()


def test_each_op_has_what_torch_counts() -> None:
    model, x = Both(), torch.randn(2, 3, 6, 6)
    graph = capture_step(model, adamw(model.parameters()), x).graph
    counted = {op.target: op.flops for op in graph.ops if op.flops is not None}
    assert counted["aten.convolution.default"] == 2 * 2 * 6 * 6 * 8 * 3 * 3 * 3
    assert counted["aten.addmm.default"] == 2 * 2 * 288 * 5
    assert next(op.flops for op in graph.ops if op.target == "aten.relu.default") is None
    assert sum(op.flops or 0 for op in graph.ops if op.phase == "backward") > 0


def test_a_form_that_the_counter_does_not_know_counts_nothing(monkeypatch) -> None:
    def unknown(*_: object, **__: object) -> int:
        raise AssertionError("inner dimensions must match")

    monkeypatch.setitem(flops.flop_registry, torch.ops.aten.addmm, unknown)
    model, x = Both(), torch.randn(2, 3, 6, 6)
    graph = capture_step(model, adamw(model.parameters()), x).graph
    assert next(op.flops for op in graph.ops if op.target == "aten.addmm.default") is None
    assert next(op.flops for op in graph.ops if op.target == "aten.convolution.default")
