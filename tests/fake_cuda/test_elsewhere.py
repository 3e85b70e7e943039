"""What a CUDA step makes on the host takes no place on the device."""

import torch
from torch import nn

from roam_lab.capture import as_step, capture_step


def test_results_on_the_host_are_no_storages_of_the_device():
    model = nn.Linear(64, 64, device="meta")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def loss(model, batch):
        weight = torch.arange(1_000.0).sum()  # on the host
        return (model(batch) * weight).pow(2).mean()

    captured = capture_step(model, optimizer, torch.empty(5, 64, device="meta"), as_step(loss), device="cuda")
    kinds = {op.target: [captured.graph.storages[index] for index in op.creates] for op in captured.graph.ops}
    assert [(one.kind, one.bytes, one.external) for one in kinds["aten.arange.default"]] == [("elsewhere", 0, True)]
    assert [(one.kind, one.bytes) for one in kinds["aten.sum.default"]] == [("elsewhere", 0)]
    assert all(one.bytes for one in kinds["aten.addmm.default"])
