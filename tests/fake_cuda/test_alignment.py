"""On CUDA tensors of a plan lie where the caching allocator would align them, too: at multiples of 512 bytes."""

import pytest
import torch

import roam_lab as roam
from roam_lab.errors import MismatchError
from tests.fake_cuda.training import Training, on_cuda

CUDA_ALIGNMENT, CPU_ALIGNMENT = 512, 64


def test_a_plan_for_the_alignment_of_the_cpu_is_refused():
    training = Training()
    plan = training.profile().plan(alignment=CPU_ALIGNMENT)
    assert all(offset % CPU_ALIGNMENT == 0 for offset in plan.offsets.values())
    assert any(offset % CUDA_ALIGNMENT for offset in plan.offsets.values())
    with pytest.raises(MismatchError, match="no multiples of 512 bytes"):
        roam.hook(plan, training.model, training.optimizer, step=training.step)


def test_a_planned_step_and_one_planned_anew_place_at_multiples():
    training = Training()
    hooked = training.hooked(on_mismatch="replan")
    hooked(training.batch)
    hooked(on_cuda(torch.utils._pytree.tree_map(lambda x: x.cpu()[:-1], training.batch)))
    assert (hooked.planned_steps, hooked.eager_steps) == (2, 0), hooked.reasons
    first, other = hooked._compiled.values()
    assert first.offsets != other.offsets
    for compiled in (first, other):
        assert len(compiled.offsets) > 20
        assert all(offset % CUDA_ALIGNMENT == 0 for offset in compiled.offsets.values())
    assert hooked._pool.arena.data_ptr() % CUDA_ALIGNMENT == 0
