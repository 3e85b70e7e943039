"""Every kind of guard changed once and named; nothing else is noticed."""

import collections
import gc
import math
import weakref

import numpy
import pytest
import torch
import transformers
from torch import nn
from torch.nn.utils import parametrize

from roam_lab.capture.sources import PythonState, reach
from roam_lab.capture.sources import watch as watching
from roam_lab.capture.sources.guards import MOST_ARRAY_BYTES, Guards, changed_paths

TEMPERATURE = 2.0


class Adapter(nn.Module):
    """A little of everything that a forward reads."""

    version = 1

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.1)
        self.layers = nn.ModuleList([nn.Linear(4, 4)])
        self.scaling = {"default": 2.0}
        self.sizes = [1, 2]
        self.names = {"a"}
        self.recent = collections.deque([1])
        self.plain = torch.ones(1)
        self.empty = {}
        self.array = numpy.ones(2)
        self.zero, self.nan, self.one = 0.0, math.nan, 1

    def forward(self, x):
        return self.linear(x) * TEMPERATURE * self.scaling["default"]


class Slotted:
    __slots__ = ("rate",)


class Other(nn.Linear):
    pass


def made():
    model = Adapter()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    rate, options, slotted = 0.5, {"clip": [1.0]}, Slotted()
    slotted.rate = 3

    def step(model, optimizer, batch):
        return model(batch) * rate * options["clip"][0] * slotted.rate

    def set_rate(value):
        nonlocal rate
        rate = value

    step.set_rate, step.options, step.slotted = set_rate, options, slotted
    return model, optimizer, step


def guards_of(model, optimizer, step, left_out=()):
    return Guards(reach({"model": model, "optimizer": optimizer, "step": step}), left_out)


def remove_parameter(model):
    del model.linear._parameters["bias"]


def set_global(value):
    global TEMPERATURE
    TEMPERATURE = value


MODEL = [
    (lambda m: setattr(m.dropout, "p", 0.5), "model.dropout.p was 0.1 and is 0.5 now"),
    (lambda m: setattr(m.norm, "momentum", 0.2), "model.norm.momentum was 0.1 and is 0.2 now"),
    (lambda m: setattr(m.norm, "eps", 1e-3), "model.norm.eps was 1e-05 and is 0.001 now"),
    (lambda m: m.scaling.update(default=3.0), "model.scaling['default'] was 2.0 and is 3.0 now"),
    (lambda m: m.scaling.update(new=3.0), "model.scaling['new'] was added: 3.0"),
    (lambda m: m.dropout.eval(), "model.dropout.training was True and is False now"),
    (lambda m: setattr(m, "layers", nn.ModuleList([nn.Linear(4, 4)])), "model.layers is another ModuleList"),
    (lambda m: m.layers.__setitem__(0, Other(4, 4)), "model.layers[0] was a Linear and is a Other now"),
    (lambda m: m.layers.append(nn.Linear(4, 4)), "model.layers[1] was added: a Linear"),
    (lambda m: setattr(m.layers[0], "__class__", Other), "model.layers[0] was a Linear and is a Other now"),
    (lambda m: m.linear.register_forward_hook(print), "a forward hook of model.linear was added"),
    (lambda m: m.linear.register_forward_pre_hook(print), "a forward pre-hook of model.linear was added"),
    (lambda m: m.linear.register_full_backward_hook(print), "a backward hook of model.linear was added"),
    (lambda m: m.linear.register_full_backward_pre_hook(print), "a backward pre-hook of model.linear was added"),
    (lambda m: m.linear.weight.requires_grad_(False), "model.linear.weight.requires_grad was True and is False now"),
    (lambda m: m.linear.weight.register_hook(print), "a hook of model.linear.weight was added or removed"),
    (
        lambda m: m.linear.weight.register_post_accumulate_grad_hook(print),
        "a hook after its gradient is accumulated of model.linear.weight was added or removed",
    ),
    (lambda m: setattr(m.linear, "weight", nn.Parameter(torch.ones(4, 4))), "model.linear.weight is another tensor"),
    (remove_parameter, "model.linear.bias was taken away"),
    (lambda m: setattr(m, "plain", torch.ones(1)), "model.plain is another tensor"),  # equal, but another
    (lambda m: setattr(m.norm, "running_mean", torch.zeros(4)), "model.norm.running_mean is another tensor"),
    (lambda m: m.sizes.append(3), "model.sizes[2] was added: 3"),
    (lambda m: m.sizes.__setitem__(0, 5), "model.sizes[0] was 1 and is 5 now"),
    (lambda m: m.names.add("b"), "the set model.names has 'b' now"),
    (lambda m: m.names.clear(), "the set model.names has lost 'a'"),
    (lambda m: m.recent.append(2), "model.recent[1] was added: 2"),
    (lambda m: m.empty.update(a=1), "model.empty['a'] was added: 1"),
    (lambda m: m.array.fill(2), "the contents of the array model.array have changed"),
    (lambda m: setattr(m, "zero", -0.0), "model.zero was 0.0 and is -0.0 now"),
    (lambda m: setattr(m, "one", True), "model.one was 1 and is True now"),
    (lambda m: setattr(m, "one", 1.0), "model.one was 1 and is 1.0 now"),
    (lambda m: setattr(m, "nan", 1.0), "model.nan was nan and is 1.0 now"),
    (lambda m: setattr(m, "new", 1), "model.new was added: 1"),
    (lambda m: delattr(m, "one"), "model.one was taken away"),
    (lambda m: setattr(m, "forward", lambda x: x), "model.forward was added: a function"),
    (lambda m: setattr(m.linear.weight, "seen", 1), "model.linear.weight.seen was added: 1"),
    (lambda m: parametrize.register_parametrization(m.linear, "weight", nn.ReLU()), "model.linear was a Linear"),
]


@pytest.mark.parametrize(("change", "expected"), MODEL)
def test_what_a_model_is(change, expected):
    model, optimizer, step = made()
    guards = guards_of(model, optimizer, step)
    assert guards.check() is None
    change(model)
    message = guards.check()
    assert message is not None
    assert message.startswith(expected)
    assert guards.check() == message
    guards.renew()
    assert guards.check() is None


OPTIMIZER = [
    (lambda o: o.param_groups[0].update(eps=1.0), "optimizer.param_groups[0]['eps'] was 1e-08 and is 1.0 now"),
    (lambda o: o.param_groups[0].update(betas=(0.5, 0.9)), "optimizer.param_groups[0]['betas'] is another tuple"),
    (lambda o: o.param_groups[0].update(lr=0.2), "optimizer.param_groups[0]['lr'] was 0.1 and is 0.2 now"),
    (
        lambda o: o.add_param_group({"params": [nn.Parameter(torch.ones(1))]}),
        "optimizer.param_groups[1] was added: a dict",
    ),
    (lambda o: o.param_groups[0]["params"].pop(), "optimizer.param_groups[0]['params'][5] was taken away"),
    (lambda o: o.register_step_pre_hook(print), "a step pre-hook of optimizer was added"),
    (lambda o: o.register_step_post_hook(print), "a step post-hook of optimizer was added"),
]


@pytest.mark.parametrize(("change", "expected"), OPTIMIZER)
def test_what_an_optimizer_is(change, expected):
    model, optimizer, step = made()
    guards = guards_of(model, optimizer, step)
    change(optimizer)
    assert guards.check() == expected


STEP = [
    (lambda s: s.set_rate(0.6), "rate was 0.5 and is 0.6 now"),
    (lambda s: s.options.update(clip=2), "options['clip'] was a list and is 2 now"),
    (lambda s: s.options["clip"].append(2.0), "options['clip'][1] was added: 2.0"),
    (lambda s: setattr(s.slotted, "rate", 4), "slotted.rate was 3 and is 4 now"),
    (lambda s: setattr(Adapter, "version", 2), "Adapter.version was 1 and is 2 now"),
    (lambda s: setattr(Adapter, "added", 2), "Adapter.added was added: 2"),
    (lambda s: set_global(7.0), "TEMPERATURE was 2.0 and is 7.0 now"),
]


@pytest.mark.parametrize(("change", "expected"), STEP)
def test_what_the_step_reaches(change, expected):
    guards = guards_of(*(parts := made()))
    try:
        change(parts[2])
        assert guards.check().removeprefix("step.") == expected
    finally:
        set_global(2.0)
        Adapter.version = 1
        if "added" in vars(Adapter):
            del Adapter.added


FLAGS = [
    (lambda: torch.autocast("cpu", torch.bfloat16), "autocast of cpu was False and is True now"),
    (torch.no_grad, "grad mode was True and is False now"),
    (torch.inference_mode, "grad mode was True and is False now"),
    (lambda: torch.device("meta"), "active torch functions modes (default device)"),
    (lambda: torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), "flash attention was True"),
    (lambda: torch.backends.mkldnn.flags(enabled=False), "torch.backends.mkldnn.enabled was True"),
    (lambda: torch.backends.cudnn.flags(benchmark=True, enabled=True), "torch.backends.cudnn"),
]


@pytest.mark.parametrize(("context", "expected"), FLAGS)
def test_flags_in_a_block(context, expected):
    guards = guards_of(*made())
    with context():
        assert guards.check().startswith(expected)
    assert guards.check() is None


@pytest.mark.parametrize(
    ("change", "back", "expected"),
    [
        (
            lambda: torch.set_default_dtype(torch.float64),
            lambda: torch.set_default_dtype(torch.float32),
            "torch.get_def",
        ),
        (
            lambda: torch.use_deterministic_algorithms(True),
            lambda: torch.use_deterministic_algorithms(False),
            "torch.use",
        ),
        (lambda: torch.set_num_threads(3), lambda: torch.set_num_threads(1), "torch.get_num_threads was"),
        (
            lambda: torch.set_float32_matmul_precision("medium"),
            lambda: torch.set_float32_matmul_precision("highest"),
            "torch.get_float32_matmul_precision was highest and is medium now",
        ),
    ],
)
def test_flags_of_the_process(change, back, expected):
    back()
    guards = guards_of(*made())
    try:
        change()
        assert guards.check().startswith(expected)
    finally:
        back()
    assert guards.check() is None


def test_hooks_of_every_module():
    guards = guards_of(*made())
    handle = nn.modules.module.register_module_forward_hook(print)
    assert guards.check() == "a forward hook of every module was added"
    handle.remove()
    assert guards.check() is None


def test_equal_values_are_no_change_and_are_fast_again():
    model, optimizer, step = made()
    guards = guards_of(model, optimizer, step)
    model.nan, model.dropout.p, model.sizes = float("nan"), float("0.1"), [1, 2]
    assert not guards._watch.unchanged()
    assert guards.check() is None
    assert guards._watch.unchanged()
    model.nan = float("nan")  # now no container is another
    assert guards.check() is None
    assert guards._watch.unchanged()
    model.sizes.append(3)  # the new list is watched
    assert guards.check() == "model.sizes[2] was added: 3"


def test_weak_references_of_a_model_are_no_change():
    """As recurrent layers keep of their weights, and make anew."""
    model, optimizer, step = made()
    weights = list(model.parameters())
    model.weak = [weakref.ref(one) for one in weights]
    model.called = weakref.ref(weights[0], print)
    guards = guards_of(model, optimizer, step)
    model.one = 2
    assert [one.path for one in guards.differing()] == ["model.one"]
    model.one, model.called = 1, weakref.ref(weights[0], print)
    assert guards.check() is None
    model.weak[1] = weakref.ref(weights[0])
    assert [one.path for one in guards.differing()] == ["model.weak[1]"]


def test_forget_and_left_out():
    model, optimizer, step = made()
    guards = guards_of(model, optimizer, step, ["model.scaling"])
    model.scaling["default"] = 5.0
    assert guards.check() is None
    model.dropout.p = 0.7
    model.norm.eps = 0.5
    assert guards.check() == "model.norm.eps was 1e-05 and is 0.5 now"
    guards.forget("model.norm.eps")
    assert guards.check() == "model.dropout.p was 0.1 and is 0.7 now"
    guards.forget("model.dropout")
    assert guards.check() is None
    model.norm.eps = 0.6
    assert guards.check() is None
    model.norm.momentum = 0.5
    assert guards.check() == "model.norm.momentum was 0.1 and is 0.5 now"


def test_what_is_left_out_costs_no_slow_look():
    """A step that fills a container of its own would be looked at slowly each time."""
    model, optimizer, step = made()
    model.seen = {"names": ["a"]}
    guards = guards_of(model, optimizer, step, ["model.seen"])
    for change in (lambda: model.seen.update(count=1), lambda: model.seen["names"].append("b")):
        change()
        assert guards._watch.unchanged()
    guards.forget("model.scaling")
    model.scaling["default"] = 7.0
    assert guards._watch.unchanged()
    assert guards.check() is None


def test_hooks_of_state_dicts_do_nothing_in_a_step():
    model, optimizer, step = made()
    guards = guards_of(model, optimizer, step)
    model.register_state_dict_pre_hook(lambda *_: None)
    model.register_load_state_dict_post_hook(lambda *_: None)
    optimizer.register_state_dict_post_hook(lambda *_: None)
    assert guards._watch.unchanged()
    assert guards.check() is None


def test_what_a_step_changes_itself_is_left_out():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    losses, count = [], 0

    def step(model, optimizer, batch):
        nonlocal count
        loss = model(batch).pow(2).mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        count += 1

    roots = {"model": model, "optimizer": optimizer, "step": step}
    state = PythonState(reach(roots))
    step(model, optimizer, torch.ones(1, 2))
    left_out = changed_paths(state.changes())
    assert {"losses", "count", "scheduler.last_epoch"} <= left_out
    guards = Guards(reach(roots), left_out)
    for _ in range(3):
        step(model, optimizer, torch.ones(1, 2))
        assert guards.check() is None
        assert guards._watch.unchanged()
    scheduler.gamma = 0.5
    assert guards.check() == "scheduler.gamma was 0.1 and is 0.5 now"


def test_a_replaced_tensor_is_not_kept_alive():
    holder = {"mask": torch.ones(1000)}
    guards = Guards(reach({"step": holder}))
    old = weakref.ref(holder["mask"])
    holder["mask"] = torch.ones(1000)
    gc.collect()
    assert old() is None
    for _ in range(5):  # another tensor may come to lie at the address of the old one
        holder["mask"] = torch.ones(1000)
        assert guards.check() == "step['mask'] is another tensor"


def test_training_of_gpt2_trips_no_guard():
    configuration = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=11, n_positions=8)
    model, ids = transformers.GPT2LMHeadModel(configuration), torch.arange(6)[None]
    optimizer = torch.optim.AdamW(model.parameters())
    guards = Guards(reach({"model": model, "optimizer": optimizer}), ["optimizer.state"])
    for _ in range(2):
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert guards.check() is None
    assert guards._watch.unchanged()
    model.config.attn_pdrop = 0.3
    assert guards.check() == "model.config.attn_pdrop was 0.1 and is 0.3 now"


def test_without_the_fast_reading_of_addresses(monkeypatch):
    monkeypatch.setattr(watching, "_FAST", False)
    model, optimizer, step = made()
    guards = guards_of(model, optimizer, step)
    assert guards._watch.unchanged()
    model.dropout.p = 0.5
    assert guards.check() == "model.dropout.p was 0.1 and is 0.5 now"


def test_long_lists_and_large_arrays_are_named():
    enough = numpy.zeros(MOST_ARRAY_BYTES, numpy.uint8)
    guards = Guards(reach({"step": {"list": list(range(20_000)), "array": numpy.zeros(100_000), "whole": enough}}))
    assert set(guards.not_guarded) == {"step['list']", "step['array']"}
