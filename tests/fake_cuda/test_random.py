"""A planned step draws as many random numbers as an eager one: the generator's offset says so."""

import pytest
import torch

from tests.fake_cuda.training import Training


def offset():
    return torch.cuda.default_generators[0].get_offset()


@pytest.mark.parametrize("name", ["gpt2", "bert", "vit", "tiny", "tiny_checkpointed"])
def test_the_generator_moves_on_as_eagerly(name):
    training = Training(name)
    training.eager()
    before = offset()
    training.eager()
    eager = offset() - before
    training.optimizer.zero_grad()
    hooked = training.hooked()
    hooked(training.batch)
    before = offset()
    hooked(training.batch)
    assert hooked.planned_steps == 2
    assert offset() - before == eager
    if name in ("gpt2", "bert"):
        assert eager > 0
