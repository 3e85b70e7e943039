"""Steps that talk to other processes are refused by name, but for what DistributedDataParallel exchanges."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from tests.situations.judge import HONEST, PLANNED, REFUSED, Situation, compare
from tests.situations.models import classifier, data, mlp, sgd, slow_unless, stepping

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="this torch is built without torch.distributed")
CROSS = nn.functional.cross_entropy


@pytest.fixture(scope="module", autouse=True)
def group():
    """One process that is a whole group."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def gradients(model):
    return [p.grad for p in model.parameters()]


def flat(model):
    return torch.cat([g.flatten() for g in gradients(model)])


def by_work(model):
    for work in [dist.all_reduce(g, async_op=True) for g in gradients(model)]:
        work.wait()


def functional(name, *args):
    def call(model):
        collectives = torch.distributed._functional_collectives
        for g in gradients(model):
            g.copy_(collectives.wait_tensor(getattr(collectives, name)(g, *args, dist.group.WORLD)))

    return call


def gathered(model):
    g = model[0].weight.grad
    out = [torch.empty_like(g)]
    dist.all_gather(out, g)
    g.copy_(out[0])


def scattered(model):
    g = model[0].weight.grad
    out = torch.empty_like(g)
    dist.reduce_scatter(out, [g.clone()])
    g.copy_(out)


def in_one_tensor(model):
    g = model[0].weight.grad
    out = torch.empty_like(g)
    dist.all_gather_into_tensor(out, g)
    g.copy_(out)


def exchanged(model):
    g = model[0].weight.grad
    out = torch.empty_like(g)
    dist.all_to_all_single(out, g.clone())
    g.copy_(out)


COLLECTIVES = {
    "all_reduce": lambda m: [dist.all_reduce(g) for g in gradients(m)],
    "all_reduce, async": by_work,
    "all_reduce of the loss": lambda m: dist.all_reduce(flat(m).norm()),
    "all_reduce_coalesced": lambda m: dist.all_reduce_coalesced(gradients(m)),
    "broadcast": lambda m: [dist.broadcast(p.data, 0) for p in m.parameters()],
    "reduce": lambda m: [dist.reduce(g, 0) for g in gradients(m)],
    "all_gather": gathered,
    "all_gather_into_tensor": in_one_tensor,
    "reduce_scatter": scattered,
    "all_to_all_single": exchanged,
    "gather": lambda m: dist.gather(m[0].weight.grad, [torch.empty(24, 12)], 0),
    "scatter": lambda m: dist.scatter(m[0].weight.grad, [m[0].weight.grad.clone()], 0),
    "barrier": lambda m: dist.barrier(),
    "broadcast_object_list": lambda m: dist.broadcast_object_list([{"lr": 1}], 0),
    "all_gather_object": lambda m: dist.all_gather_object([None], 3),
    "functional all_reduce": functional("all_reduce", "sum"),
    "functional all_gather_tensor": functional("all_gather_tensor", 0),
    "functional reduce_scatter_tensor": functional("reduce_scatter_tensor", "sum", 0),
    "functional broadcast": functional("broadcast", 0),
}
NAMES = {
    "all_reduce_coalesced": "all_reduce", "broadcast_object_list": "broadcast", "all_gather_object": "all_gather",
    "all_gather_into_tensor": "all_gather", "all_to_all_single": "all_to_all",
}  # fmt: skip


def communicated(kind):
    def make():
        model = mlp()
        return classifier(model, step=stepping(before=lambda loss: COLLECTIVES[kind](model)))

    return make


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", COLLECTIVES)
def test_collectives_are_refused_by_name(kind):
    slow_unless(kind not in NAMES and kind not in ("reduce", "gather", "scatter"))
    verdict = compare(communicated(kind), steps=3).must_be(REFUSED)
    word = kind.removeprefix("functional ").split(",")[0].split(" ")[0]
    assert NAMES.get(word, word.removesuffix("_tensor")) in verdict.why


@pytest.mark.parametrize("kind", ["all_reduce", "functional all_reduce", "all_gather", "barrier"])
def test_collectives_are_refused_with_a_fake_profile(kind):
    slow_unless("all_reduce" in kind)
    compare(communicated(kind), steps=3, fake=True).must_be(REFUSED)


@pytest.mark.parametrize("kind", ["loss", "forward", "backward", "item"])
def test_wherever_they_are(kind):
    """In the loss with gradients through it, in forward, in a hook of the backward pass, for a logged number."""

    def make():
        model = mlp()
        if kind == "forward":
            model.register_forward_pre_hook(lambda m, args: dist.all_reduce(args[0].sum()) and None)
        if kind == "backward":
            for p in model.parameters():
                p.register_hook(lambda g: (dist.all_reduce(g), g)[1])

        def loss(model, batch):
            out = model(batch[0])
            if kind == "loss":
                out = torch.cat(torch.distributed.nn.functional.all_gather(out))
            value = CROSS(out, batch[1])
            if kind == "item":
                mean = value.detach().clone()
                dist.all_reduce(mean)
                LOG.append(mean.item())
            return value

        LOG.clear()
        return classifier(model, loss=loss)

    compare(make, steps=3).must_be(REFUSED)


LOG = []


def test_every_third_step():
    """Local SGD: weights averaged now and then, by a counter; nothing in the captured step says so."""

    def make():
        model, n = mlp(), [0]

        def after(loss):
            n[0] += 1
            if n[0] % 3 == 0:
                for p in model.parameters():
                    dist.all_reduce(p.data)
                    p.data.mul_(0.5)

        return classifier(model, step=stepping(after))

    compare(make, steps=7, variants=2).must_be(HONEST)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["plain", "static graph", "no_sync", "comm hook"])
def test_distributed_data_parallel(kind):
    slow_unless(kind == "plain")

    def make():
        model = nn.parallel.DistributedDataParallel(mlp(), static_graph=kind == "static graph")
        if kind == "comm hook":
            from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

            model.register_comm_hook(None, default_hooks.fp16_compress_hook)

        def step(model, optimizer, batch):
            if kind == "no_sync":
                with model.no_sync():
                    CROSS(model(batch[0][:4]), batch[1][:4]).backward()
            return stepping()(model, optimizer, batch)

        return Situation(model, sgd(model), data(), step=step)

    # the wrapper's own reducer holds clocks and caches
    right = REFUSED if kind in ("comm hook", "static graph") else PLANNED
    verdict = compare(make, steps=4, ignore=r"logger|reducer|_ddp|step\.|num_iterations|_has_rebuilt").must_be(right)
    words = {"comm hook": "has a communication hook", "static graph": "run them eagerly on every rank"}
    assert words.get(kind, "") in verdict.why


@pytest.mark.filterwarnings("ignore")
def test_distributed_tensors():
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_module, distribute_tensor

    def shard(name, module, mesh):
        for key, p in list(module.named_parameters(recurse=False)):
            module.register_parameter(key, nn.Parameter(distribute_tensor(p.data, mesh, [Shard(0)])))

    def make():
        mesh = init_device_mesh("cpu", (1,))
        model = distribute_module(mlp(), mesh, shard)

        def loss(model, batch):
            out = model(distribute_tensor(batch[0], mesh, [torch.distributed.tensor.Replicate()]))
            return CROSS(out.full_tensor(), batch[1])

        return Situation(model, torch.optim.SGD(model.parameters(), lr=0.1, foreach=False), data(), loss)

    assert "DTensor" in compare(make, steps=3, ignore="mesh").must_be(REFUSED).why


@pytest.mark.filterwarnings("ignore")
def test_fully_sharded():
    from torch.distributed.fsdp import fully_shard

    def make():
        mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
        model = mlp()
        fully_shard(model, mesh=mesh)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
        return Situation(model, optimizer, data(), nn.CrossEntropyLoss())

    made = make()
    made.eager(made.batch(0))
    compare(make, steps=3, ignore="mesh|fsdp|hooks", at_two_moments=False).must_be(REFUSED)


def test_a_group_that_nobody_uses():
    """Only that torch.distributed is initialised, and is asked for its rank, is no communication."""

    def make():
        def loss(model, batch):
            return CROSS(model(batch[0]), batch[1]) / dist.get_world_size() + dist.get_rank()

        return classifier(loss=loss)

    compare(make).must_be({"planned"})
