"""Everything put back, bit for bit, and told apart by digests."""

import copy
import gc
import random

import numpy
import pytest
import torch
from torch import nn

from roam_lab.capture.sources.contents import Contents
from roam_lab.capture.sources.digest import digest
from roam_lab.capture.sources.snapshot_everything import FullSnapshot, digests_of


def training(momentum=0.9):
    """Model, optimizers and a step that changes nearly everything."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    second = nn.Linear(1, 1)
    optimizers = (torch.optim.Adam(model.parameters()), torch.optim.SGD(second.parameters(), lr=0.1, momentum=momentum))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizers[0], 1)
    average, losses, generator = copy.deepcopy(model), [], torch.Generator().manual_seed(3)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)

    def step(model, optimizers, batch):
        noise = torch.rand(4, 4, generator=generator) + numpy.random.rand() + random.random()
        loss = second(model(batch + noise)).pow(2).mean()
        scaler.scale(loss).backward()
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        with torch.no_grad():
            for mean, value in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(value, 0.1)
        losses.append(loss.item())
        average.training = not average.training
        model[3].bias.requires_grad_(False)
        model[0].weight.data = model[0].weight.data.clone()
        model[1].running_mean = model[1].running_mean.clone()
        return loss

    return model, optimizers, step


@pytest.mark.parametrize("most_memory_bytes", [1 << 20, 0])
@pytest.mark.parametrize("steps_before", [0, 1])
def test_two_runs_from_one_state_are_the_same(most_memory_bytes, steps_before):
    model, optimizers, step = training()
    batch = torch.randn(4, 4)
    for _ in range(steps_before):
        step(model, optimizers, batch)
    snapshot = FullSnapshot(model, optimizers, step, most_memory_bytes=most_memory_bytes)
    assert snapshot.contents.in_file == (most_memory_bytes == 0)
    assert snapshot.cannot_restore == ()
    weight, address, mean = model[0].weight, model[0].weight.data_ptr(), model[1].running_mean
    before = snapshot.digests()
    afterwards = []
    for _ in range(2):
        step(model, optimizers, batch)
        afterwards.append(snapshot.digests())
        snapshot.restore()
        assert snapshot.digests() == before
        assert snapshot.changes() == ()
    assert afterwards[0] == afterwards[1]
    assert model[0].weight is weight
    assert weight.data_ptr() == address
    assert model[1].running_mean is mean
    changed = {name for name in before if before[name] != afterwards[0][name]}
    assert {"scheduler.last_epoch", "average[0].weight", "losses", "generator", "model[0].weight"} <= changed
    assert {"random state of numpy", "random state of Python", "scaler._scale"} & changed
    assert not any(name.endswith(".grad") for name in {*before, *afterwards[0]})  # a planned step does not keep them


def test_put_back_after_a_failure_half_way():
    model, optimizers, step = training()
    snapshot = FullSnapshot(model, optimizers, step)
    before = snapshot.digests()
    with pytest.raises(RuntimeError):
        step(model, optimizers, torch.randn(4, 7))
    step(model, optimizers, torch.randn(4, 4))
    with torch.no_grad():
        model[0].weight.set_(torch.zeros(2, 2))
    del model[2]
    snapshot.restore()
    assert snapshot.digests() == before


def test_digests_see_every_kind_of_difference():
    thing = {"rate": 1, "shape": (1, 2), "tensor": torch.tensor([0.0]), "array": numpy.zeros(2), "set": {1}, "list": []}
    before = digests_of({"step": thing})

    def differing():
        now = digests_of({"step": thing})
        return {name for name in {*before, *now} if before.get(name) != now.get(name)}

    assert differing() == set()
    for change, name in (
        (lambda: thing.update(rate=True), "step['rate']"),
        (lambda: thing.update(shape=(1, 3)), "step['shape']"),
        (lambda: thing["tensor"].neg_(), "step['tensor']"),
        (lambda: thing["array"].fill(1), "step['array']"),
        (lambda: thing["set"].add(2), "step['set']"),
        (lambda: thing["list"].append(2), "step['list'][0]"),
    ):
        change()
        assert name in differing()


def test_one_storage_is_kept_once_and_views_share_it():
    base = torch.arange(8.0)
    contents = Contents([("base", base), ("view", base[2:4]), ("sparse", torch.eye(2).to_sparse())])
    assert contents.bytes == 32
    base.zero_()
    contents.restore()
    assert base.tolist() == list(range(8))
    assert Contents([("meta", torch.empty(2, device="meta"))]).not_copied == ("meta",)


def test_large_tensors_lie_in_a_file():
    tensor = torch.arange(20 << 20, dtype=torch.int32)  # 80 MiB
    contents = Contents([("large", tensor)])
    assert contents.in_file
    assert not contents._copies
    tensor.zero_()
    contents.restore()
    assert torch.equal(tensor, torch.arange(20 << 20, dtype=torch.int32))


def test_an_inference_of_the_step_under_inference_mode_is_put_back():
    model = nn.BatchNorm1d(2)
    snapshot = FullSnapshot(model, ())
    before = snapshot.digests()
    with torch.inference_mode():
        model(torch.ones(3, 2))
        snapshot.restore()
    assert snapshot.digests() == before


def test_one_element_has_a_digest_whatever_its_stride():
    assert digest(torch.ones(1).expand(1).as_strided((1,), (0,))) == digest(torch.ones(1))
    assert digest(torch.ones(()).as_strided((1, 1), (0, 7))) == digest(torch.ones(1, 1))


def test_the_file_of_a_copy_is_closed_when_the_copy_is_gone():
    """Also where the copy is a part of a cycle."""
    kept = Contents([("weight", torch.zeros(4))], most_memory_bytes=0)
    file, kept.itself = kept._file, kept
    assert not file.closed
    del kept
    gc.collect()
    assert file.closed
