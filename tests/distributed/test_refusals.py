"""What cannot be planned on several ranks is refused by name, with the way round, and trains on eagerly."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import roam_lab as roam
from roam_lab.errors import CaptureError
from tests.distributed.launch import launch
from tests.distributed.models import mlp, rows, step, trained, wrapped


def profiled(model, optimizer, train_step=step):
    """The sentence of the refusal; then the eager step runs."""
    batch = rows(1)[0]
    try:
        roam.profile(model, batch, optimizer, step=train_step)
    except CaptureError as error:
        train_step(model, optimizer, batch)
        return str(error)


def refused():
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard, distribute_module, distribute_tensor

    found = {}
    model, optimizer = wrapped(mlp)
    model.register_comm_hook(None, default_hooks.fp16_compress_hook)
    found["comm hook"] = profiled(model, optimizer)
    model, optimizer = wrapped(mlp)
    model._register_builtin_comm_hook(dist.BuiltinCommHookType.FP16_COMPRESS)
    found["built-in hook"] = profiled(model, optimizer)
    model, optimizer = wrapped(mlp)
    with model.join():
        found["join"] = profiled(model, optimizer)
    model, optimizer = wrapped(mlp, batched_grad_copy=True)
    found["batched"] = profiled(model, optimizer)
    model = nn.Sequential(nn.Linear(12, 24), nn.SyncBatchNorm(24), nn.Linear(24, 5))
    optimizer = torch.optim.AdamW(model.parameters())
    try:
        roam.profile(model, rows(1)[0], optimizer, step=step)
    except CaptureError as error:
        found["SyncBatchNorm"] = str(error)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    model = mlp()
    fully_shard(model, mesh=mesh)
    found["fully_shard"] = profiled(model, torch.optim.AdamW(model.parameters(), foreach=False))

    def shard(name, module, mesh):
        for key, parameter in list(module.named_parameters(recurse=False)):
            module.register_parameter(key, nn.Parameter(distribute_tensor(parameter.data, mesh, [Shard(0)])))

    model = distribute_module(mlp(), mesh, shard)
    try:
        roam.profile(model, rows(1)[0], torch.optim.SGD(model.parameters(), lr=0.1, foreach=False), step=step)
    except CaptureError as error:
        found["DTensor"] = str(error)
    model = nn.ModuleDict({"inner": DistributedDataParallel(mlp())})
    found["inside"] = profiled(
        model, torch.optim.AdamW(model.parameters()), lambda model, *rest: step(model["inner"], *rest)
    )
    return found


WORDS = {
    "comm hook": ("communication hook", "register none"),
    "built-in hook": ("communication hook", "register none"),
    "join": ("join()", "drop_last=True"),
    "batched": ("batched_grad_copy=True", "leave that out"),
    "SyncBatchNorm": ("SyncBatchNorm", "use BatchNorm"),
    "fully_shard": ("fully_shard", "roam.shard"),
    "DTensor": ("DTensor", "roam.shard", "train eagerly"),
    "inside": ("holds a DistributedDataParallel", "wrap the whole model"),
}


def test_what_cannot_be_planned_is_named(tmp_path):
    for found in launch(refused, tmp_path):
        assert found.keys() == WORDS.keys()
        for name, words in WORDS.items():
            assert found[name] is not None, name
            assert all(word in found[name] for word in words), found[name]


# --- what a user does later


def by_their_own_collective(model, optimizer, batch):
    loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    mean = loss.detach().clone()
    dist.all_reduce(mean)
    optimizer.step()
    optimizer.zero_grad()
    return mean / dist.get_world_size()


def later():
    """Some steps in no_sync(), one beside a collective of the user's own, and a hook that comes late."""
    found = {"collective": profiled(*wrapped(mlp), by_their_own_collective)}

    def train(run, model, optimizer, batches):
        run(batches[0])
        run(batches[1])
        with model.no_sync():
            run(batches[2])
        run(batches[3])
        model.register_comm_hook(None, plain_average)
        run(batches[4])

    batches = rows(5)
    model, optimizer = wrapped(mlp)
    train(lambda batch: step(model, optimizer, batch), model, optimizer, batches)
    eager = [p.detach().clone() for p in model.parameters()]
    model, optimizer = wrapped(mlp)
    plan = roam.profile(model, batches[0], optimizer, step=step).plan()
    run = roam.hook(plan, model, optimizer, step=step)
    train(run, model, optimizer, batches)
    found |= {"same": all(map(torch.equal, eager, model.parameters())), "planned": run.planned_steps}
    return found | {"reasons": dict(run.reasons)}


def plain_average(state, bucket):
    future = dist.all_reduce(bucket.buffer().div_(dist.get_world_size()), async_op=True).get_future()
    return future.then(lambda done: done.value()[0])


@pytest.mark.slow
def test_modes_that_come_and_go(tmp_path):
    for found in launch(later, tmp_path):
        assert "communicates with other processes (all_reduce)" in found["collective"]
        assert (found["same"], found["planned"]) == (True, 2), found["reasons"]
        assert any("inside no_sync()" in reason for reason in found["reasons"])
        assert any("communication hook" in reason for reason in found["reasons"])


# --- gradients that do not arrive


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(12, 5), nn.Linear(12, 5)

    def forward(self, inputs):
        return self.used(inputs)


def missing():
    return profiled(*wrapped(Half))


@pytest.mark.slow
def test_parameters_without_gradient_are_named(tmp_path):
    for sentence in launch(missing, tmp_path):
        assert "2 parameters get no gradient" in sentence
        assert "find_unused_parameters=True" in sentence


def accumulating(model, optimizer, batch):
    """Two micro-batches of one update: the first is not averaged, the sum is."""
    with model.no_sync():
        nn.functional.cross_entropy(model(batch[0][:2]), batch[1][:2]).backward()
    loss = nn.functional.cross_entropy(model(batch[0][2:]), batch[1][2:])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def micro_batches():
    model, optimizer = wrapped(mlp)
    eager = trained(lambda batch: accumulating(model, optimizer, batch), model, optimizer, rows(4))
    model, optimizer = wrapped(mlp)
    plan = roam.profile(model, rows(1)[0], optimizer, step=accumulating).plan()
    run = roam.hook(plan, model, optimizer, step=accumulating)
    planned = trained(run, model, optimizer, rows(4))
    return run.planned_steps, dict(run.reasons), [name for name in eager if eager[name] != planned[name]]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [3])
def test_no_sync_within_a_step(tmp_path, ranks):
    for planned, reasons, differs in launch(micro_batches, tmp_path, ranks=ranks):
        assert (planned, differs) == (3, []), reasons
