"""What a captured run says beside its graph; what CUDA takes for itself is tested on the fake device."""

import torch
from torch import nn

from roam_lab.capture import capture_step
from roam_lab.capture.cuda_workspace import cublas_workspace_bytes


def test_every_resident_storage_and_nothing_of_cuda_on_the_cpu():
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

    def step(model, optimizer, batch):
        loss = model(batch).pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    captured = capture_step(model, optimizer, torch.randn(2000, 8), step)
    run = captured.eager
    weights = tuple(parameter.nbytes for parameter in model.parameters())
    assert run.graph is captured.eager_graph
    assert sorted(run.resident["parameter"]) == sorted(run.resident["state"]) == sorted(weights)
    assert run.resident["batch"] == (2000 * 8 * 4,)
    assert {kind: sum(sizes) for kind, sizes in run.resident.items()} == captured.resident
    assert run.resident_bytes == captured.graph.resident_bytes
    assert (run.temporaries, run.workspace_bytes) == ({}, 0)
    assert cublas_workspace_bytes(torch.device("cpu")) == 0
