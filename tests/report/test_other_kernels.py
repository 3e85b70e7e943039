"""Which ops of a step captured on the CPU may be other kernels on CUDA."""

import pytest

from roam_lab.ir import Graph, Op
from roam_lab.report.other_kernels import captured_on_cpu


def graph(*ops):
    return Graph(
        "g", (), tuple(Op(f"op_{index}", target, (), phase=phase) for index, (target, phase) in enumerate(ops))
    )


def test_they_are_named_and_counted():
    ops = [
        ("aten._scaled_dot_product_flash_attention_for_cpu.default", "forward"),
        ("aten._scaled_dot_product_flash_attention_for_cpu_backward.default", "backward"),
        ("aten.convolution_backward.default", "backward"),
        ("aten.bernoulli_.float", "forward"),
        ("aten.mm.default", "forward"),
        ("aten.lerp_.Scalar", "update"),
    ]
    found = captured_on_cpu(graph(*ops), {"device": "cpu"})
    assert "attention (2 ops); dropout (1 op); convolutions (1 op); the optimizer's updates" in found
    assert "many in a call there (1 op)" in found
    assert "batch norm" not in found


def test_multi_tensor_updates_are_the_same_there():
    found = captured_on_cpu(graph(("aten._fused_adamw_.default", "update"), ("aten.mm.default", "")), {"device": "cpu"})
    assert "captured on the CPU" in found
    assert "above all" not in found


@pytest.mark.parametrize("environment", [{}, {"device": "cuda"}, {"device": "cuda:1"}])
def test_nothing_is_said_of_other_devices(environment):
    assert captured_on_cpu(graph(("aten.convolution.default", "")), environment) is None
