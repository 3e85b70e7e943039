"""A sharded model trains as `fully_shard` trains it, bit for bit."""

import pytest

from tests.distributed.launch import launch
from tests.distributed.models import clipped, gpt2, step
from tests.distributed.sharded import Tied, batches_of, eagerly, fully_sharded, sharded, uneven, with_frozen

STEPS = 3


def as_fully_shard(makes):
    """What differs, by model."""
    told = {}
    for make, train_step in makes:
        batches = batches_of(make, STEPS)
        torchs = eagerly(fully_sharded(make), batches, train_step)
        ours = eagerly(sharded(make), batches, train_step)
        told[f"{make.__name__} {train_step.__name__}"] = [name for name in torchs if torchs[name] != ours.get(name)]
    return told


def test_as_fully_shard(tmp_path):
    for told in launch(as_fully_shard, tmp_path, [(uneven, step), (Tied, step)], ranks=3):
        assert told == {"uneven step": [], "Tied step": []}


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_more_models_as_fully_shard(tmp_path, ranks):
    makes = [(uneven, clipped), (with_frozen, step), (gpt2, step), (Tied, step)]
    for told in launch(as_fully_shard, tmp_path, makes, ranks=ranks):
        assert all(differs == [] for differs in told.values()), told
