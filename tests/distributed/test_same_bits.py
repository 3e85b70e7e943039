"""A planned step leaves, on every rank, the bits that DistributedDataParallel leaves."""

import pytest
import torch

from tests.distributed.launch import launch
from tests.distributed.models import both, clipped, gpt2, mlp, rows, step, tokens, with_batch_norm

STEPS = 5


def plain(make, train_step, settings):
    return both(make, rows(STEPS), train_step, **settings)


def language(settings):
    return both(gpt2, tokens(STEPS), **settings)


def same_and_planned(told, eager=1):
    for rank in told:
        assert rank["differs"] == [], rank["reasons"]
        assert (rank["planned"], rank["eager"]) == (STEPS - eager, eager), rank["reasons"]
    parameters = [rank["parameters"] for rank in told]
    assert all(one == parameters[0] for one in parameters)


@pytest.mark.parametrize("train_step", [step, clipped], ids=lambda one: one.__name__)
def test_an_mlp(tmp_path, train_step):
    same_and_planned(launch(plain, tmp_path, mlp, train_step, {}))


def test_gpt2(tmp_path):
    same_and_planned(launch(language, tmp_path, {}))
