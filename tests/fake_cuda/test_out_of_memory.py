"""Where the device has too little memory, a sentence says so, and everything is as before."""

import pytest
import torch

import roam_lab as roam
from roam_lab.errors import RoamError

MIB = 2**20


@pytest.fixture
def limited():
    """Sets the most bytes that this process may take from the device, on top of what it has."""
    total = torch.cuda.get_device_properties(0).total_memory

    def limit(more):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / total)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


def training():
    model = torch.nn.Sequential(*(torch.nn.Linear(1024, 1024) for _ in range(8))).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    batch = torch.zeros(8192, 1024, device="cuda"), torch.zeros(8192, dtype=torch.long, device="cuda")
    return model, optimizer, batch, torch.nn.CrossEntropyLoss()


def test_an_arena_that_does_not_fit(limited):
    model, optimizer, batch, loss = training()
    plan = roam.profile(model, batch, optimizer, loss).plan()
    step = roam.hook(plan, model, optimizer, loss, check="never")
    step.prepare(batch)
    limited(plan.arena_bytes // 2)
    message = r"the arena of \d+ bytes does not fit on cuda.*tensors hold .* held by others .*plan a smaller budget"
    with pytest.raises(RoamError, match=message):
        step(batch)
    limited(4 * plan.arena_bytes)
    step(batch)
    assert step.planned_steps == 1


def test_an_eager_step_is_not_run_beside_the_arena(limited):
    """A batch of another shape runs eagerly, in the memory that the arena had."""
    model, optimizer, batch, loss = training()
    plan = roam.profile(model, batch, optimizer, loss).plan()
    step = roam.hook(plan, model, optimizer, loss, check="never")
    step(batch)
    step(batch)
    step.release()
    limited(int(1.5 * plan.arena_bytes))
    step(batch)
    smaller = batch[0][:8000], batch[1][:8000]
    step(smaller)
    assert (step.planned_steps, step.eager_steps) == (3, 1)
    step(batch)
    assert step.planned_steps == 4
