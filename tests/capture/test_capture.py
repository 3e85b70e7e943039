"""A captured step: legal, the same every time, with every hazard an edge, and nothing of the user's changed by it."""

import copy
import os
import subprocess
import sys
from collections import OrderedDict, UserDict, namedtuple
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from roam_lab.capture import as_step, capture_step
from roam_lab.errors import CaptureError
from roam_lab.ir import captured_order, check_order, fingerprint
from tests.measure.test_eager import same, state_of
from tests.twins import sampled
from tests.zoo import MODELS, OPTIMIZERS, STEPS, adamw, adamw_groups, tiny

ROOT = Path(__file__).parents[2]


def mean_square(model, batch):
    return model(batch).pow(2).mean()


def captured(model, batch, loss=mean_square, optimizer=None, step=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    return capture_step(model, optimizer, batch, as_step(loss if step is None else None, step))


def targets(found, phase=None):
    return [op.target for op in found.graph.ops if phase in (None, op.phase)]


def lstm_loss(model, batch):
    return model(batch)[0].pow(2).mean()


@pytest.mark.parametrize("name", ["tiny", "tiny_checkpointed", "resnet"])
def test_legal_and_the_same_twice(name):
    model, batch, loss = MODELS[name]()
    graphs = [capture_step(model, adamw(model.parameters()), batch, as_step(loss)).graph for _ in range(2)]
    check_order(graphs[0], captured_order(graphs[0]))
    assert fingerprint(graphs[0]) == fingerprint(graphs[1])


def test_the_same_whatever_fake_tensors_were_made_before():
    """torch's cache of fake results forgets that both bias gradients of an RNN layer are one tensor."""
    model = nn.LSTM(4, 4, 2, dropout=0.1)
    graphs = [captured(model, torch.randn(3, 2, 4), lstm_loss).graph for _ in range(3)]
    assert len({fingerprint(graph) for graph in graphs}) == 1


SCRIPT = """
import torch
from roam_lab.capture import capture_step
from roam_lab.ir import fingerprint
from tests.zoo import adamw_groups, tiny
model, batch, _ = tiny()
print(fingerprint(capture_step(model, adamw_groups(model.parameters()), batch).graph))
"""


def test_the_same_in_a_process_with_another_hash_seed():
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, env=environment)
    model, batch, _ = tiny()
    assert run.stdout.strip() == fingerprint(capture_step(model, adamw_groups(model.parameters()), batch).graph)


def everything(model, optimizer, batch):
    hooks = [
        [list(slot) for slot in vars(module).values() if isinstance(slot, OrderedDict)] for module in model.modules()
    ]
    attributes = [{k: id(v) for k, v in vars(module).items()} for module in model.modules()]
    return {
        **state_of(model, optimizer),
        "hooks": [hooks, len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)],
        "attributes": [attributes, list(vars(optimizer)), "zero_grad" in vars(model)],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "batch": [(id(t), t._version, t.clone()) for t in batch.values()],
        "state_class": type(optimizer.state),
        "params": [[id(p) for p in group["params"]] for group in optimizer.param_groups],
    }


def failing_step(model, optimizer, batch):
    STEPS["clipped"](model, optimizer, batch)
    batch["ids"].zero_()
    raise RuntimeError("after everything was done")


@pytest.mark.parametrize("aged", [False, True])
@pytest.mark.parametrize("step", sampled([*STEPS.values(), failing_step], 3))
def test_nothing_of_the_users_changes(step, aged):
    torch.manual_seed(0)
    model, batch, _ = tiny()
    optimizer = OPTIMIZERS["adam_amsgrad_foreach"](model.parameters())
    if aged:
        STEPS["clipped"](model, optimizer, batch)  # state, and gradients that stay
    before = everything(model, optimizer, batch)
    if step is failing_step:
        with pytest.raises(CaptureError, match="after everything was done"):
            capture_step(model, optimizer, batch, step)
    else:
        capture_step(model, optimizer, batch, step)
    assert same(everything(model, optimizer, batch), before)
    assert all(type(value) is not torch._subclasses.FakeTensor for value in vars(model).values())


def test_own_zero_grad_of_the_user_stays():
    model, batch, _ = tiny()
    model.zero_grad = own = lambda *args: None
    capture_step(model, adamw(model.parameters()), batch)
    assert model.zero_grad is own


def test_gradients_from_before_are_no_part_of_the_step():
    model, batch = nn.Linear(3, 3), torch.randn(2, 3)
    clean = captured(model, batch)
    mean_square(model, batch).backward()
    assert fingerprint(captured(model, batch).graph) == fingerprint(clean.graph)


class InPlace(nn.Module):
    """Reads, then writes, a parameter's view of the input, a buffer and a fresh tensor through views."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x):
        y = x * self.weight  # 0: mul
        left, right = y[:, :2], y[:, 2:]
        with torch.no_grad():
            self.seen.add_(x[0])  # 1: add_ on a buffer
        z = left * right  # 2: reads y
        with torch.no_grad():
            left.detach().mul_(2)  # 3: writes y through a view, after 2
        return z + y[:, 1:3] + self.seen[:2]  # 4: reads what 3 wrote; 5: reads what 1 wrote


def test_hazards_become_edges():
    model = InPlace()

    def step(model, optimizer, batch):
        loss = model(batch).sum()
        with torch.no_grad():
            model.weight.mul_(loss)  # writes a parameter that op 0 has read
        return loss

    found = captured(model, torch.randn(3, 4), step=step)
    ops = found.graph.ops
    assert targets(found)[:6] == [f"aten.{name}.Tensor" for name in ("mul", "add_", "mul", "mul_", "add", "add")]
    assert ops[2].after == (0,)
    assert set(ops[3].after) == {0, 2}  # write after read, through views
    assert {2, 3} <= set(ops[4].after)
    assert {1, 4} <= set(ops[5].after)
    assert ops[7].target == "aten.mul_.Tensor"
    assert {0, 6} <= set(ops[7].after)  # write after read on a parameter
    assert all(not op.creates for op in ops if op.target.split(".")[1].endswith("_"))
    y = ops[0].creates[0]
    assert [index for index, op in enumerate(ops) if y in op.touches] == [2, 3, 4]


def test_kinds_of_storages():
    found = captured(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)), torch.randn(2, 4))
    kinds = {}
    for op in found.graph.ops:
        for index in op.creates:
            kinds.setdefault((op.phase, op.target), []).append(found.graph.storages[index].kind)
    assert kinds["forward", "aten.tanh.default"] == ["activation"]
    assert kinds["forward", "aten.mean.default"] == ["output"]
    assert set(kinds["backward", "aten.mm.default"]) == {"gradient", "temporary"}
    assert found.resident == {"parameter": 160, "batch": 32}
    assert found.graph.resident_bytes == 192


def test_random_ops_form_a_chain():
    model, batch, _ = MODELS["tiny_checkpointed"]()
    ops = captured(model, batch, None).graph.ops
    random = [index for index, op in enumerate(ops) if op.random]
    assert len(random) >= 5  # state read, dropout, state read and set, dropout again, state set
    assert all(first in ops[second].after for first, second in pairwise(random))


def test_buffers_written_and_bound_anew():
    class Running(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)
            self.register_buffer("mean", torch.zeros(4))
            self.register_buffer("count", torch.tensor(0))

        def forward(self, x):
            self.mean = 0.9 * self.mean + x.mean(0)
            self.count += 1
            return self.linear(x - self.mean)

    model = Running()
    mean = model.mean
    found = captured(model, torch.randn(3, 4))
    assert targets(found).count("aten.copy_.default") == 1  # the new mean goes into the old buffer
    assert model.mean is mean
    assert found.resident["buffer"] == 24


def test_settings_are_inputs():
    model = nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1, betas=(0.9, 0.99), weight_decay=0.1)
    found = captured(model, torch.randn(2, 3), optimizer=optimizer)
    paths = {item.path[2:] for item in found.trace.inputs if item.kind == "setting"}
    assert paths == {("lr", None), ("betas", 0), ("betas", 1), ("eps", None), ("weight_decay", None)}
    symbols = {item.path[2:]: symbol for symbol, item in found.trace.symbols.items()}
    guards = found.trace.guards
    assert [str(guard) for guard in guards if symbols["lr", None] in guard.free_symbols] == []
    decay = symbols["weight_decay", None]
    assert any(not guard.subs({decay: 0.0}) for guard in guards if guard.free_symbols == {decay})


def test_tied_frozen_and_unused_parameters():
    model, batch, _ = tiny()
    found = captured(model, batch, None, optimizer=adamw(model.parameters()))
    assert set(found.trace.updated) == {name for name, _ in model.named_parameters()} - {"frozen", "unused"}
    assert "head.weight" not in found.trace.updated  # one parameter under its first name
    names = {name for name, p in model.named_parameters() if name not in ("frozen", "unused")}
    state = sum(dict(model.named_parameters())[name].numel() * 8 + 4 for name in names)
    assert found.resident["state"] == state  # none for a parameter without gradient


def test_constants_made_in_forward():
    class Constants(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)
            self.scale = torch.full((4,), 2.0)

        def forward(self, x):
            return self.linear(x) * torch.tensor([1.0, 2, 3, 4]) * self.scale + torch.arange(4)

    found = captured(Constants(), torch.randn(3, 4))
    assert found.resident["constant"] == 32
    assert {"aten.lift_fresh_copy.default", "aten.arange.default"} <= set(targets(found, "forward"))
    assert [(name, tuple(tensor.shape)) for _, name, tensor in found.trace.held] == [("scale", (4,))]


def test_a_model_on_the_meta_device():
    real, batch, _ = tiny()
    with torch.device("meta"):
        model, empty, _ = tiny()
    first = capture_step(real, adamw(real.parameters()), batch).graph
    for given in (empty, batch):
        second = capture_step(model, adamw(model.parameters()), given, device="cpu").graph
        assert [replace(op, source=None) for op in second.ops] == [replace(op, source=None) for op in first.ops]
        assert second.storages == first.storages
        assert second.resident_bytes == first.resident_bytes
    assert all(p.is_meta for p in model.parameters())


class Encoding(UserDict):
    """Like transformers' BatchEncoding: attributes, no dict."""

    def __getattr__(self, name):
        if name == "data" or name not in self.data:
            raise AttributeError(name)
        return self.data[name]


class OwnDict(dict):
    pass


Pair = namedtuple("Pair", ["ids", "labels"])


@pytest.mark.parametrize("kind", [dict, OrderedDict, Encoding, OwnDict, tuple, list, Pair])
def test_kinds_of_batches(kind):
    model, batch, _ = tiny()
    made = Pair(**batch) if kind is Pair else kind(batch.values()) if kind in (tuple, list) else kind(batch)
    found = capture_step(model, torch.optim.SGD(model.parameters()), made)
    assert found.resident["batch"] == 2 * 4 * 6 * 8
    assert found.batch == "int64[4, 6]@cpu, int64[4, 6]@cpu"


def test_a_users_mapping_reaches_the_loss_as_itself():
    found = captured(nn.Linear(3, 3), Encoding(x=torch.randn(2, 3)), lambda model, batch: model(batch.x).sum())
    assert found.resident["batch"] == 24


def test_numbers_and_text_in_a_batch():
    def loss(model, batch):
        scale, (x, flag), name = batch
        return model(x).mean() * scale if flag and name == "a" else model(x).sum()

    found = captured(nn.Linear(3, 3), (0.5, [torch.randn(2, 3), True], "a"), loss)
    assert found.batch == "float, float32[2, 3]@cpu, True, str"
    assert found.trace.batch_constants == {3: "a"}
    assert [one.path for one in found.trace.inputs if one.kind == "batch"] == [(0,), (1,)]
    assert "aten.mean.default" in targets(found)


def test_a_batch_that_is_laid_out_otherwise_is_another_batch():
    plain, turned = torch.randn(3, 3), torch.randn(3, 3).T
    assert captured(nn.Linear(3, 3), plain).batch == "float32[3, 3]@cpu"
    assert captured(nn.Linear(3, 3), turned).batch == "float32[3, 3] strides [1, 3]@cpu"


def test_one_tensor_under_two_names_is_two_inputs():
    model, batch, _ = tiny()
    one = {"ids": batch["ids"], "labels": batch["ids"]}
    optimizer = torch.optim.SGD(model.parameters())
    both = capture_step(model, optimizer, one), capture_step(model, optimizer, batch)
    used = [
        sum(bool(node.users) for node in found.trace.module.graph.nodes if node.op == "placeholder") for found in both
    ]
    assert used[0] == used[1]


def test_a_deep_copy_captures_alike():
    model, batch, _ = tiny()
    twin = copy.deepcopy(model)
    first, second = (capture_step(m, adamw(m.parameters()), batch) for m in (model, twin))
    assert fingerprint(first.graph) == fingerprint(second.graph)
    assert first.environment == second.environment
