"""A sharded model trains as `fully_shard` trains it, bit for bit, and what cannot be sharded is refused by name."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import roam_lab as roam
from roam_lab.errors import RoamError
from tests.distributed.launch import launch
from tests.distributed.models import clipped, gpt2, mlp, rows, step
from tests.distributed.sharded import Tied, batches_of, eagerly, fully_sharded, sharded, uneven, wholes, with_frozen

STEPS = 3


def as_fully_shard(makes):
    """What differs, by model."""
    found = {}
    for make, train_step in makes:
        batches = batches_of(make, STEPS)
        torchs = eagerly(fully_sharded(make), batches, train_step)
        ours = eagerly(sharded(make), batches, train_step)
        found[f"{make.__name__} {train_step.__name__}"] = [name for name in torchs if torchs[name] != ours.get(name)]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_as_fully_shard(tmp_path, ranks):
    makes = [(uneven, step), (uneven, clipped), (with_frozen, step), (gpt2, step), (Tied, step)]
    for found in launch(as_fully_shard, tmp_path, makes, ranks=ranks):
        assert all(differs == [] for differs in found.values()), found


# --- what users do with a model


def used():
    """Everything in one process group: starting ranks takes longer than this."""
    found = {}
    torch.manual_seed(0)
    whole = uneven()
    model = sharded(uneven)
    its = torch.optim.AdamW(model.parameters(), lr=0.01)
    found["parts"] = [tuple(one.shape) for one in model.parameters()]
    found["read"] = torch.equal(model[0].weight, whole[0].weight)
    found["full"] = all(torch.equal(one, whole.state_dict()[name]) for name, one in roam.full_state_dict(model).items())
    step(model, its, rows(1)[0])
    trained, own = wholes(model), {name: one.clone() for name, one in model.state_dict().items()}
    another = sharded(uneven)
    another.load_state_dict(roam.full_state_dict(model))
    found["loads wholes"] = wholes(another) == trained
    another = sharded(uneven)
    another.load_state_dict(own)
    found["loads parts"] = wholes(another) == trained
    twin = copy.deepcopy(model)
    step(twin, torch.optim.AdamW(twin.parameters(), lr=0.01), rows(1)[0])
    found["copy is apart"] = wholes(model) == trained != wholes(twin)
    found["in double"] = model.double()[0].weight.dtype is torch.float64
    found["evaluates"] = model.eval()(rows(1)[0][0].double()).shape == (4, 5)
    found |= {"norm": norms(), "scaler": scaled()}
    for name, call in REFUSED.items():
        try:
            call()
        except RoamError as error:
            found[name] = str(error)
    return found


def norms():
    """Of the gradients of one batch on all ranks: by one rank alone, and sharded; the inf norm, too."""
    torch.manual_seed(0)
    whole = mlp()
    model, batch = sharded(mlp), (torch.ones(4, 12), torch.arange(4))
    for one in (whole, model):
        nn.functional.cross_entropy(one(batch[0]), batch[1]).backward()
    both = [
        [nn.utils.clip_grad_norm_(one.parameters(), 1e9, kind) for kind in (2.0, float("inf"))]
        for one in (whole, model)
    ]
    return bool(torch.allclose(*map(torch.stack, both)))


def scaled():
    """An infinite gradient lies in the part of one rank alone: both skip the step."""
    model = sharded(mlp)
    its, scaler = torch.optim.SGD(model.parameters(), lr=0.1), torch.amp.GradScaler("cpu", init_scale=4.0)
    before = wholes(model)
    scaler.scale(model(rows(1)[0][0]).sum()).backward()
    if dist.get_rank() == 1:
        model._modules["0"]._parameters["bias"].grad[0] = float("inf")
    scaler.step(its)
    scaler.update()
    return wholes(model) == before and scaler.get_scale() == 2.0


def replaced():
    model = sharded(mlp)
    model[0].weight = nn.Parameter(torch.zeros(24, 12))
    model(rows(1)[0][0])


def with_adafactor():
    model = sharded(lambda: nn.Sequential(nn.Linear(12, 5, bias=False)))
    its = torch.optim.Adafactor(model.parameters())
    roam.profile(model, rows(1)[0], its, step=step)


def another_model():
    roam.shard(nn.Linear(12, 5 + dist.get_rank()))


REFUSED = {
    "twice": lambda: roam.shard(sharded(mlp)),
    "DDP": lambda: roam.shard(DistributedDataParallel(mlp())),
    "fully_shard": lambda: roam.shard(fully_sharded(mlp)),
    "LSTM": lambda: roam.shard(nn.LSTM(4, 4)),
    "pickle": lambda: torch.save(sharded(mlp), "/dev/null"),
    "replaced": replaced,
    "optimizer": with_adafactor,
    "other": another_model,
    "nothing": lambda: roam.shard(None),
}
WORDS = {
    "twice": "is sharded already",
    "DDP": "give roam.shard its .module",
    "fully_shard": "give roam.shard the plain model",
    "LSTM": "train it as DistributedDataParallel",
    "pickle": "roam.full_state_dict(model)",
    "replaced": "was replaced after roam.shard",
    "optimizer": "Adafactor looks at whole gradients",
    "other": "rank 1 has another model than rank 0",
    "nothing": "give the model, a torch.nn.Module",
}


@pytest.mark.slow
def test_what_users_do_with_a_model(tmp_path):
    for found in launch(used, tmp_path):
        assert found.pop("parts") == [(13, 12), (13,), (13,), (13,), (2, 25), (2,), (2,), (3, 3), (3,)]
        for name, words in WORDS.items():
            assert words in found.pop(name, "nothing is said"), name
        assert all(found.values()), found


def test_without_ranks():
    with pytest.raises(RoamError, match="init_process_group"):
        roam.shard(mlp())
