"""The timing pass: every op timed, nothing changed."""

import pytest
import torch

import roam_lab as roam
from roam_lab.capture.captured import capture_step
from roam_lab.capture.step import as_step
from roam_lab.errors import InputError
from roam_lab.ir import fingerprint, load_graph
from roam_lab.plan import make_plan
from roam_lab.runtime.timing import op_times
from tests.runtime.rewriting import random_rewriting
from tests.zoo import MODELS, OPTIMIZERS


@pytest.mark.parametrize("name", [pytest.param("gpt2", marks=pytest.mark.slow), "resnet"])
def test_every_op_is_timed_and_nothing_changes(name, tmp_path):
    torch.manual_seed(0)
    model, batch, loss = MODELS[name]()
    optimizer = torch.optim.AdamW(model.parameters())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    plain = roam.profile(model, batch, optimizer, loss, fake=True)
    timed = roam.profile(model, batch, optimizer, loss, fake=True, timing=True)
    assert all(op.time_us is None for op in plain.graph.ops)
    assert all(op.time_us is not None and op.time_us >= 0 for op in timed.graph.ops)
    assert all(op.time_us for op in timed.graph.ops if op.flops or op.rows)
    assert timed.graph.times.startswith("measured: cpu, ")
    assert timed.graph.device.fused_share == 1.0
    assert min(timed.graph.device.flops_per_s, timed.graph.device.bytes_per_s, timed.graph.device.launch_us) > 0
    assert fingerprint(timed.graph) == fingerprint(plain.graph)  # the same plan fits both
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not optimizer.state
    timed.save(tmp_path / "g.json.gz")
    again = load_graph(tmp_path / "g.json.gz")
    assert again == timed.graph
    noted = make_plan(again, extra_time=0.1).environment
    assert (noted["times"], noted["fused_share"]) == (timed.graph.times, "1")


def test_ops_of_a_rewriting_are_timed():
    """A fused op has one time, and so has a copy."""
    torch.manual_seed(0)
    model, batch, loss = MODELS["gpt2"]()
    optimizer, step = torch.optim.AdamW(model.parameters()), as_step(loss)
    step(model, optimizer, batch)
    captured = capture_step(model, optimizer, batch, step)
    rewritten = random_rewriting(captured.graph, 1)
    us = op_times(captured, model, optimizer, batch, step, rewritten)
    assert len(us) == len(rewritten.graph.ops)
    assert rewritten.recomputed
    assert all(time_us for time_us, origin in zip(us, rewritten.origins, strict=True) if len(origin.ops) > 1)


@pytest.mark.parametrize("name", ["adam_amsgrad_single", "adafactor_foreach", "sgd_momentum_fused", "adamw_groups"])
def test_split_optimizers_and_tensor_settings_are_timed_too(name):
    torch.manual_seed(0)
    model, batch, loss = MODELS["tiny"]()
    optimizer = OPTIMIZERS[name](model.parameters())
    timed = roam.profile(model, batch, optimizer, loss, fake=True, timing=True)
    assert all(op.time_us is not None for op in timed.graph.ops)


def test_no_weights_no_times():
    with torch.device("meta"):
        model = torch.nn.Linear(4, 1)
        batch = torch.ones(2, 4)
    with pytest.raises(InputError, match=r"on the meta device and holds no weights \(weight\), so it cannot be timed"):
        roam.profile(model, batch, loss=lambda model, batch: model(batch).sum(), fake=True, timing=True)
