"""A traced graph as JSON: the one that comes back is the same, node by node and tensor by tensor."""

import json

import pytest
import torch
from torch import nn

from roam_lab.capture import capture_step
from roam_lab.capture.nodes import storage_key, tensors_of
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.graph import graph_from_data, graph_to_data


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.norm, self.last = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.mask = torch.ones(4)  # no buffer

    def forward(self, x, labels):
        x = torch.relu(self.norm(self.convolution(x)))
        x = x.transpose(1, 3).mean((1, 2)) * self.mask + torch.tensor([0.25, 0.5, 1.0, 2.0])
        return nn.functional.cross_entropy(self.last(x.to(torch.float64).float()), labels)


def captured(**settings):
    torch.manual_seed(0)
    model = Model()
    batch = torch.randn(2, 2, 6, 6).contiguous(memory_format=torch.channels_last), torch.tensor([0, 1])
    return model, capture_step(model, torch.optim.AdamW(model.parameters(), **settings), batch)


def forms(graph):
    """Every node as text, with where each of its tensors lies."""
    numbers = {}
    for node in graph.nodes:
        places = [
            (t.dtype, tuple(t.shape), t.stride(), t.storage_offset(), str(t.device), t.untyped_storage().nbytes(),
             numbers.setdefault(storage_key(t), len(numbers)))
            for t in tensors_of(node)
        ]  # fmt: skip
        yield node.op, node.name, node.target if node.op != "get_attr" else "", str(node.args), str(node.kwargs), places
        yield {key: value for key, value in node.meta.items() if key.startswith("roam") and value is not None}


@pytest.mark.parametrize("settings", [{}, {"foreach": True}, {"fused": True}])
def test_a_graph_comes_back(settings):
    model, step = captured(**settings)
    module = step.trace.module
    data = json.loads(json.dumps(graph_to_data(module, lambda tensor: "mask" if tensor is model.mask else "")))
    back = graph_from_data(data, {"mask": model.mask}.__getitem__)
    assert list(forms(back.graph)) == list(forms(module.graph))
    constants = [node.target for node in module.graph.nodes if node.op == "get_attr"]
    assert constants
    for name in constants:
        assert torch.equal(getattr(back, name), getattr(module, name))
        assert (getattr(back, name) is model.mask) == (getattr(module, name) is model.mask)


def test_a_tensor_without_a_path_is_refused():
    def nowhere(tensor):
        raise NotStoredError("nowhere")

    with pytest.raises(NotStoredError, match="nowhere"):
        graph_to_data(captured()[1].trace.module, nowhere)


@pytest.mark.parametrize(
    ("key", "value"),
    [("op", "call_module"), ("target", "builtins.exec"), ("args", [{"node": 10**6}]), ("args", [{"eval": "1"}]),
     ("value", {"tensor": ["float32", [10**6], [1], 0, 0, "cpu"]}),
     ("value", {"tensor": ["float32", [2], [-1], 0, 0, "cpu"]})],
)  # fmt: skip
def test_what_is_not_a_graph_is_refused(key, value):
    model, step = captured()
    data = graph_to_data(step.trace.module, lambda _: "mask")
    next(node for node in data["nodes"] if node["op"] == "call_function")[key] = value
    with pytest.raises((NotStoredError, IndexError)):
        graph_from_data(data, {"mask": model.mask}.__getitem__)
