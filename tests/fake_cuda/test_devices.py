"""A model on the second device has everything of its step there."""

import pytest
import torch

import roam_lab as roam
from tests.fake_cuda.training import Training


@pytest.mark.parametrize("name", ["tiny", "gpt2"])
def test_the_arena_is_made_where_the_model_is(name):
    training = Training(name, device="cuda:1")
    training.eager()
    training.optimizer.zero_grad()
    hooked = training.hooked()
    before = torch.cuda.memory_allocated(0)
    hooked(training.batch)
    hooked(training.batch)
    assert (hooked.planned_steps, hooked.eager_steps) == (2, 0), hooked.reasons
    assert hooked._pool.arena.device == torch.device("cuda:1")
    assert torch.cuda.memory_allocated(0) == before


def test_a_profile_measures_the_device_of_the_model():
    training = Training("tiny", device="cuda:1")
    profile = roam.profile(training.model, training.batch, training.optimizer, step=training.step)
    assert profile.measured.device == "cuda:1"
    assert max(profile.measured.live_bytes) > 0
