"""Storages go to pinned memory of the host and back, on a stream beside the ops; the device does such copies as late as
it may."""

import gc

import pytest
import torch

import roam_lab as roam
from roam_lab.plan.rewriting import place
from roam_lab.runtime.host_memory import HostMemory
from tests.fake_cuda.device_counts import counted
from tests.fake_cuda.larger import LARGER
from tests.fake_cuda.training import Training
from tests.runtime.offloading import offloaded
from tests.runtime.rewriting import plan_of, random_rewriting
from tests.zoo import MODELS

SIZE = 4096


def test_a_copy_is_waited_for_by_its_event():
    host, device = HostMemory(), torch.device("cuda", 0)
    host.take(SIZE, device)
    assert host.bytes.is_pinned()
    host.bytes.zero_()
    source, target = (torch.zeros(SIZE, dtype=torch.uint8, device=device) for _ in range(2))
    source.copy_(torch.arange(SIZE, dtype=torch.int64).to(torch.uint8))
    with counted() as found:
        host.copies.start(0, host.bytes, source)
        host.copies.start(1, target, host.bytes)
        assert not host.bytes.any()
        host.copies.end(0)
        assert torch.equal(host.bytes, source.cpu())
        host.copies.end(1)
    assert torch.equal(target.cpu(), source.cpu())
    assert (found.side_copies, found.events, found.waits, found.pinned) == (2, 4, 4, SIZE)
    with counted() as found:
        host.release()
    assert (found.syncs, found.pinned) == (1, 0)


@pytest.mark.parametrize("name", ["tiny", "gpt2"])
def test_a_step_with_storages_on_the_host(name, monkeypatch):
    if name == "gpt2":  # large enough that ranges of the arena are lent
        monkeypatch.setitem(MODELS, name, LARGER[name])
    training = Training(name)
    training.eager()
    training.optimizer.zero_grad()
    graph = training.profile().graph
    rewritten = offloaded(random_rewriting(graph, 1), 1, share=0.2)
    copies = sum(origin.copies is not None for origin in rewritten.origins)
    placed = place(rewritten, alignment=512, device="cuda")
    step = roam.hook(plan_of(graph, rewritten, placed), training.model, training.optimizer, step=training.step,
                     check="never")  # fmt: skip
    for _ in range(2):
        step(training.batch)
    assert (step.planned_steps, step.eager_steps) == (2, 0), step.reasons
    with counted() as found:
        step(training.batch)
    assert copies
    assert found.side_copies == copies
    assert found.events == 2 * copies + 1  # the last where the step waits for the side stream
    assert found.waits == 2 * copies + 1
    assert found.syncs == found.mallocs == 0
    assert 0 < found.pinned <= rewritten.offloaded_bytes + 512 * copies
    with counted() as found:
        step.release()
    assert found.pinned == 0
    step(training.batch)
    assert step.planned_steps == 4
    del step  # without a release
    gc.collect()
    with counted() as found:
        pass
    assert found.pinned == 0


def test_no_cuda_graph_is_made_of_it():
    training = Training("tiny", lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, fused=True))
    training.eager()
    training.optimizer.zero_grad()
    graph = training.profile().graph
    rewritten = offloaded(random_rewriting(graph, 1), 1)
    placed = place(rewritten, alignment=512, device="cuda")
    step = roam.hook(plan_of(graph, rewritten, placed), training.model, training.optimizer, step=training.step,
                     check="never", executor="cuda_graph")  # fmt: skip
    step(training.batch)
    assert any("its plan moves storages to the host" in note for note in step.notes)
