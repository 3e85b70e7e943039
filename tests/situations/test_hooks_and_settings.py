"""Hooks added and removed, contexts in which a step is called, switches of torch that are turned between steps."""

import contextlib

import pytest
import torch
from torch import nn

from tests.situations.changeable import AT, make, scale_first, scale_out
from tests.situations.judge import HONEST, Situation, compare
from tests.situations.models import inputs, sgd, slow_unless


def shrink(parameter):
    parameter.grad.mul_(0.1)


HOOKS = {
    "forward": lambda m: m.head.register_forward_hook(scale_out),
    "forward pre": lambda m: m.head.register_forward_pre_hook(scale_first),
    "forward of the model": lambda m: m.register_forward_hook(scale_out),
    "full backward": lambda m: m.head.register_full_backward_hook(lambda mod, gin, gout: tuple(g * 2 for g in gin)),
    "full backward pre": lambda m: m.head.register_full_backward_pre_hook(lambda mod, gout: (gout[0] * 2,)),
    "parameter": lambda m: m.head.weight.register_hook(lambda g: g * 0.1),
    "post accumulate": lambda m: m.head.weight.register_post_accumulate_grad_hook(shrink),
    "global forward": lambda m: nn.modules.module.register_module_forward_hook(
        lambda mod, args, out: out * 1.5 if isinstance(mod, nn.LayerNorm) else None
    ),
}


@pytest.mark.parametrize("kind", HOOKS)
@pytest.mark.parametrize("when", ["added", "removed", "always"])
def test_hooks(kind, when):
    slow_unless(when == "added" or kind in ("forward", "parameter"))
    handles = []

    def build():
        made = make()
        if when != "added":
            handles.append(HOOKS[kind](made.model))
        return made

    def between(made, i):
        if i == AT and when == "added":
            handles.append(HOOKS[kind](made.model))
        if i == AT and when == "removed":
            handles.pop().remove()
        if i == 6:
            while handles:
                handles.pop().remove()

    try:
        compare(build, steps=7, between=between).must_be(HONEST)
    finally:
        while handles:
            handles.pop().remove()


def test_hook_that_looks_only():
    """It keeps no gradient and changes nothing, but it counts."""

    def build():
        made, calls = make(), []
        made.model.head.register_forward_hook(lambda *_: calls.append(1))
        made.extra = lambda: {"calls": len(calls)}
        return made

    compare(build).must_be(HONEST)


class Branching(nn.Module):
    """What it computes depends on the global state."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(12, 36), nn.Linear(12, 4)
        self.embed = nn.Embedding(4, 12)

    def forward(self, x, y):
        x = x + self.embed(y)[:, None] + torch.linspace(0, 1, 12)
        q, k, v = (t.unflatten(-1, (2, 6)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        return nn.functional.cross_entropy(self.out(seen.transpose(1, 2).flatten(2)).mean(1).float(), y)


AROUND = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast fp16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "no grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "anomaly": torch.autograd.detect_anomaly,
    "math attention": lambda: torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    "without oneDNN": lambda: torch.backends.mkldnn.flags(enabled=False),
    "saved tensors in other hands": lambda: torch.autograd.graph.saved_tensors_hooks(lambda t: t * 1.01, lambda t: t),
    "single thread backward": lambda: torch.autograd.set_multithreading_enabled(False),
    "torch function mode": lambda: Halving(),
}


class Halving(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, function, kinds, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        return out * 0.5 if function is nn.functional.linear else out


def branching():
    model = Branching()
    batches = list(zip(inputs(6, (4, 5, 12)), [torch.arange(4)] * 6, strict=True))
    return Situation(model, sgd(model), batches)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", AROUND)
@pytest.mark.parametrize("when", ["later", "always"])
def test_called_in_a_context(kind, when):
    slow_unless(when == "later" or kind == "autocast")

    def around(i):
        return AROUND[kind]() if when == "always" or i in (2, 3) else contextlib.nullcontext()

    compare(branching, steps=6, around=around, raises=RuntimeError).must_be(HONEST)


SWITCHES = {
    "default dtype": (lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32)),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
    "matmul precision": (
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "flash attention": (
        lambda: torch.backends.cuda.enable_flash_sdp(False),
        lambda: torch.backends.cuda.enable_flash_sdp(True),
    ),
    "grad mode": (lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True)),
    "threads": (lambda: torch.set_num_threads(2), lambda: torch.set_num_threads(1)),
}


@pytest.mark.parametrize("kind", SWITCHES)
def test_global_switches(kind):
    on, off = SWITCHES[kind]

    def between(made, i):
        if i == 1:
            on()
        if i == 3:
            off()

    compare(branching, steps=6, between=between, raises=RuntimeError).must_be(HONEST)
