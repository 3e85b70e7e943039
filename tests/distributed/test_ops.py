"""On one rank: how an exchange stands in the graph, which numbers all ranks have, and what the wrapper keeps."""

import itertools

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from roam_lab.capture import capture_step
from roam_lab.capture.sources.reachable import reach
from roam_lab.distributed.averaging import averaged_as_ops
from roam_lab.distributed.buckets import buckets_known, layout_of, settle
from roam_lab.distributed.collectives import exchanges_of, starts_exchange
from roam_lab.distributed.common import rank_dependent
from roam_lab.distributed.ranks import Ranks, answered
from roam_lab.distributed.wrapper import BOOKKEEPING
from roam_lab.errors import FirstStepError, RoamError
from roam_lab.ir import lifetimes

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="this torch is built without torch.distributed")


@pytest.fixture(scope="module", autouse=True)
def group():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def step(model, optimizer, batch):
    loss = model(batch).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def trained(**settings):
    """A wrapper after its first step, which has shown it how gradients arrive."""
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)), **settings)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = torch.randn(4, 8)
    step(model, optimizer, batch)
    assert settle(model)
    return model, optimizer, batch


def test_exchanges_follow_one_another_and_buckets_live_to_their_last_reader():
    model, optimizer, batch = trained(bucket_cap_mb=0.0001)
    graph = capture_step(model, optimizer, batch, step).graph
    starts = [index for index, op in enumerate(graph.ops) if "all_reduce_" in op.target]
    waits = [index for index, op in enumerate(graph.ops) if op.target == "roam_lab.wait_.default"]
    assert len(starts) == len(waits) == 3
    assert all(before in graph.ops[after].after for before, after in itertools.pairwise(starts))
    lives = {life.storage: life for life in lifetimes(graph, range(len(graph.ops)))}
    for start, wait in zip(starts, waits, strict=True):
        [bucket] = graph.ops[start].writes
        assert graph.ops[wait].writes == (bucket,)
        assert start in graph.ops[wait].after
        assert all(following in graph.ops[wait].after for following in starts[starts.index(start) + 1 :][:1])
        readers = [index for index, op in enumerate(graph.ops) if bucket in op.reads and op.phase == "update"]
        assert len(readers) == 2  # a weight and a bias
        assert all(wait in graph.ops[reader].after for reader in readers)
        assert lives[bucket].end == max(readers) + 1
        assert not graph.ops[start].pure
        assert not graph.ops[wait].pure


def test_buckets_are_those_of_the_wrapper():
    model, *_ = trained(bucket_cap_mb=0.0001)
    assert layout_of(model).buckets == (("2.bias", "2.weight"), ("1.bias", "1.weight"), ("0.bias", "0.weight")) or (
        layout_of(model).buckets == (("2.weight", "2.bias"), ("1.weight", "1.bias"), ("0.weight", "0.bias"))
    )


def test_nothing_is_known_before_the_first_step():
    model = DistributedDataParallel(nn.Linear(3, 3))
    assert not buckets_known(model)
    with pytest.raises(FirstStepError, match="run one eager step on every rank"), averaged_as_ops(model):
        pass
    assert buckets_known(DistributedDataParallel(nn.Linear(3, 3), find_unused_parameters=True))
    assert buckets_known(nn.Linear(3, 3))


def test_what_is_exchanged_is_told_in_sequence():
    model, optimizer, batch = trained()
    found = exchanges_of(capture_step(model, optimizer, batch, step).trace.module.graph.nodes)
    assert found == ("_c10d_functional.all_reduce_.default torch.float32[216] ('sum',)",)


def test_numbers_that_all_ranks_have():
    model, optimizer, batch = trained()

    def logged(model, optimizer, batch):
        loss = model(batch).square().mean()
        loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])
        optimizer.step()
        optimizer.zero_grad()
        noise = torch.rand(1)
        return loss.detach(), norm, noise, next(iter(model.parameters())).detach().sum()

    captured = capture_step(model, optimizer, batch, logged)
    module = captured.trace.module
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    own = {n for n, one in zip(placeholders, captured.trace.inputs, strict=True) if one.kind in ("batch", "buffer")}
    output = next(node for node in module.graph.nodes if node.op == "output")
    results = [node for node in output.args[0] if node is not None]
    assert [rank_dependent(module, own, [node]) for node in results[:4]] == [True, False, True, False]


def test_the_wrappers_bookkeeping_is_no_state_of_the_step():
    """What DistributedDataParallel sets is known by name; what the user sets on it is found."""
    plain = vars(nn.Module())
    model, *_ = trained()
    mine = vars(model).keys() - plain.keys() - BOOKKEEPING
    assert mine == set()
    model.temperature = [2.0]
    found = reach({"model": model})
    assert found.path_of(model.temperature) == "model.temperature"
    assert found.path_of(model.reducer) is None
    assert found.path_of(model.module) == "model.module"


def test_the_ops_do_what_torchs_own_do():
    tensor = torch.arange(3.0)
    torch.ops._c10d_functional.all_reduce_(tensor, "sum", dist.group.WORLD.group_name)
    assert torch.ops.roam_lab.wait_(tensor) is tensor
    assert tensor.tolist() == [0.0, 1.0, 2.0]
    assert starts_exchange(torch.ops._c10d_functional.all_reduce_.default)
    assert not starts_exchange(torch.ops.aten.add.Tensor)


def test_a_rank_alone_agrees_with_itself():
    ranks = Ranks(dist.group.WORLD)
    assert (ranks.largest(3, -4), ranks.gathered("word"), ranks.from_rank(0, "word")) == ([3, -4], ["word"], "word")


def test_errors_about_ranks_are_told_as_such():
    with pytest.raises(RoamError, match="another rank of the training has ended"), answered():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    with pytest.raises(ZeroDivisionError), answered():
        raise ZeroDivisionError
