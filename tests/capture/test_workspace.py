"""Memory that ops take while they run."""

import torch

from roam_lab.capture.nodes import ELSEWHERE, OWN_RESULT
from roam_lab.capture.workspace import workspace_bytes
from tests.capture.writer_cases import x

aten = torch.ops.aten


def traced(op, *args):
    """A node that calls the op with these arguments; tensors among them are results of other nodes."""
    graph = torch.fx.Graph()

    def given(argument):
        if not isinstance(argument, torch.Tensor):
            return argument
        node = graph.placeholder("x")
        node.meta["val"] = argument
        return node

    node = graph.call_function(op, tuple(map(given, args)))
    node.meta["val"] = op(*args)
    return node


def test_results_that_are_copied_count_twice_while_the_op_runs():
    image, weight, how = x(2, 4, 8, 8), x(8, 4, 1, 1), ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    assert workspace_bytes(traced(aten.native_layer_norm.default, image, [8], None, None, 1e-5)) == 4 * (512 + 64 + 64)
    forward = traced(aten.convolution.default, image, weight, None, *how)
    assert workspace_bytes(forward) == 4 * (1024 + 1024 + 32)  # result, the larger one in a blocked format, weight
    last = image.contiguous(memory_format=torch.channels_last)
    assert workspace_bytes(traced(aten.convolution.default, last, weight, None, *how)) == 4 * 1024
    gradient = x(2, 8, 8, 8)
    backward = traced(
        aten.convolution_backward.default, gradient, image, weight, None, *how, [True, True, False]
    )  # results; image and gradient in a blocked format, weight
    assert workspace_bytes(backward) == 4 * (512 + 32 + 512 + 1024 + 32)
    forward.meta[OWN_RESULT] = True
    assert workspace_bytes(forward) == 4 * (1024 + 32)  # it stays where the op made it
    forward.meta[ELSEWHERE] = True
    assert workspace_bytes(forward) == 0
