"""A planned step leaves, on every rank, the bits that DistributedDataParallel leaves."""

import pytest

import roam_lab as roam
from tests.distributed.launch import launch
from tests.distributed.models import (
    both,
    clipped,
    gpt2,
    mlp,
    rows,
    step,
    tokens,
    trained,
    with_batch_norm,
    with_unused,
    wrapped,
)

STEPS = 5


def plain(train_step, makes):
    """Several trainings in one process group: starting ranks takes longer than training them."""
    return [both(make, rows(STEPS), train_step, **settings) for make, settings in makes]


def same_and_planned(expected, eager=1):
    for rank in expected:
        assert rank["differs"] == [], rank["reasons"]
        assert (rank["planned"], rank["eager"]) == (STEPS - eager, eager), rank["reasons"]
    parameters = [
        {name: value for name, value in rank["left"].items() if name.startswith("parameter")} for rank in expected
    ]
    assert all(one == parameters[0] for one in parameters)


@pytest.mark.slow
@pytest.mark.parametrize("train_step", [step, clipped], ids=lambda one: one.__name__)
def test_several_buckets(tmp_path, train_step):
    found = launch(
        plain, tmp_path, train_step, [(mlp, {"bucket_cap_mb": 0.001}), (mlp, {"hooked": {"on_mismatch": "error"}})]
    )
    for each in zip(*found, strict=True):
        same_and_planned(each)
    many, one = (rank_0["plan"] for rank_0 in found[0])
    assert exchanges(many) == 2 > exchanges(one) == 1


def exchanges(plan):
    return sum("all_reduce_" in op.target for op in plan.graph.ops)


@pytest.mark.slow
def test_buffers_of_the_first_rank_and_4_ranks(tmp_path):
    """Sums of 4 ranks are rounded by the place in the bucket; statistics of each rank's own batches differ."""
    for each in zip(*launch(plain, tmp_path, step, [(with_batch_norm, {})], ranks=4), strict=True):
        same_and_planned(each)
        assert any("broadcast_" in op.target for op in each[0]["plan"].graph.ops)


@pytest.mark.slow
def test_other_modes_of_the_wrapper(tmp_path):
    """Of 3 ranks."""
    makes = [
        (mlp, {"gradient_as_bucket_view": True}),
        (with_unused, {"find_unused_parameters": True}),
    ]
    found = list(zip(*launch(plain, tmp_path, step, makes, ranks=3), strict=True))
    same_and_planned(found[0])
    same_and_planned(found[1], eager=0)  # its buckets are known from the start


def static():
    """The wrapper's first steps are its own; then the hook."""
    model, its = wrapped(mlp, static_graph=True)
    batches = rows(STEPS + 2)
    eager = trained(lambda batch: step(model, its, batch), model, its, batches)
    model, its = wrapped(mlp, static_graph=True)
    runs = [lambda batch: step(model, its, batch)] * 2

    def run(batch):
        if len(runs) == 2 and its.state and next(iter(its.state.values()))["step"] == 2:
            runs.append(roam.hook(model, its, step=step, cache=False))
        return runs[-1](batch)

    planned = trained(run, model, its, batches)
    return runs[-1].planned_steps, dict(runs[-1].reasons), [name for name in eager if eager[name] != planned[name]]


def language():
    model, its = wrapped(gpt2)
    eager = trained(lambda batch: step(model, its, batch), model, its, tokens(STEPS))
    model, its = wrapped(gpt2)
    run = roam.hook(model, its, step=step, extra_time=0.3, cache=False)
    planned = trained(run, model, its, tokens(STEPS))
    assert any(rewrite.kind == "recompute" for rewrite in run.plan.rewrites)
    return run.planned_steps, dict(run.reasons), [name for name in eager if eager[name] != planned[name]]


def static_and_language():
    return static(), language()


@pytest.mark.slow
def test_a_static_graph_and_gpt2_without_a_plan(tmp_path):
    """Dropout, tied weights, AdamW; the first rank alone plans, with ops that run twice, which exchanges do not."""
    for of_static, of_language in launch(static_and_language, tmp_path):
        for steps, (planned, reasons, differs) in ((STEPS, of_static), (STEPS - 1, of_language)):
            assert (planned, differs) == (steps, []), reasons
