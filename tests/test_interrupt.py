"""Interrupts: what waits for what, and the stop button pressed in a real kernel in the middle of each action."""

from __future__ import annotations

import logging
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch

from roam_lab import interrupt as interrupt_module
from roam_lab.app.session import profile
from roam_lab.capture.snapshot import RandomState
from roam_lab.interrupt import held
from tests.kernel import Kernel, open_kernel
from tests.twins import sampled

SETUP = """
import hashlib, pickle, random, sys, numpy, torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from roam_lab.registry import strategy
%load_ext roam_lab
moment = "never"

def endless(value):
    sys.stdout.write("in the middle\\n"), sys.stdout.flush()
    while True:
        value = value + 0

class Stop(torch.nn.Module):
    def forward(self, x):
        when = "captured" if isinstance(x, FakeTensor) else "real"
        if moment == f"{when} forward":
            endless(x)
        if moment == f"{when} backward":
            x.register_hook(endless)
        return x

torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
model = torch.nn.Sequential(torch.nn.Embedding(50, 16), layer, Stop(), torch.nn.BatchNorm1d(8), torch.nn.Linear(16, 50))
batch = torch.randint(0, 50, (2, 8))
optimizer = torch.optim.AdamW(model.parameters())
loss = lambda model, batch: torch.nn.functional.cross_entropy(model(batch).flatten(0, 1), batch.flatten())
loss(model, batch).backward()
optimizer.step()
loss(model, batch).backward()  # state and gradients are there

def update(*_):
    value = next(iter(optimizer.param_groups[0]["params"]))
    if moment == ("captured" if isinstance(value, FakeTensor) else "real") + " update":
        endless(value)

hook = optimizer.register_step_pre_hook(update)

@strategy("order", "endless", source="a test")
def endless_order(graph):
    "Never ends."
    sys.stdout.write("in the middle\\n"), sys.stdout.flush()
    while True:
        pass

def say(value):
    sys.stdout.write("at the start\\n"), sys.stdout.flush()
    return value

def facts():
    parameters = list(model.parameters())
    tensors = [*parameters, *model.buffers(), *(p.grad for p in parameters), batch, torch.get_rng_state()]
    tensors += [value for state in optimizer.state.values() for value in state.values()]
    modules = [(m.training, sorted(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    return {
        "kinds": [type(tensor).__name__ for tensor in tensors],
        "values": [hashlib.sha256(pickle.dumps(tensor.detach().tolist())).hexdigest() for tensor in tensors],
        "places": [(p.data_ptr(), p.grad.data_ptr()) for p in parameters],
        "modules": modules,
        "settings": str([{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]),
        "hooks": (len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)),
        "random": hashlib.sha256(pickle.dumps((random.getstate(), numpy.random.get_state()))).hexdigest(),
        "functions": (torch.get_rng_state.__module__, "zero_grad" in vars(model), "zero_grad" in vars(optimizer)),
        "modes": (len(_get_current_dispatch_mode_stack()), torch._C._len_torch_function_stack(),
                  torch.is_grad_enabled(), torch.is_inference_mode_enabled(), type(torch.zeros(1)).__name__),
        "names": (sorted(bench.profiles), sorted(bench.made), [row.name for row in bench.what_ifs], bench.latest),
        "measured": [row.measured_peak_bytes for row in bench.what_ifs],
    }

bench = get_ipython().magics_manager.registry["RoamMagics"].bench
"""
PROFILE = "x = %roam profile {model} batch --optimizer optimizer --loss loss --name {name}"
TOLD = "\x1b[1mroam: interrupted; model, optimizer and batch are as they were, and earlier results are kept\x1b[0m\n"


def press() -> None:
    """SIGINT, here and now."""
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    done = []

    def work() -> None:
        with held():
            press()
            with held():
                press()
            press()
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_raised_when_asked_for_once() -> None:
    done = []

    def work() -> None:
        with held() as check:
            check()
            press()
            with suppress(KeyboardInterrupt):
                check()
                done.append("never")
            check()
            done.append("tidied up")

    with pytest.raises(KeyboardInterrupt):  # it was not lost
        work()
    assert done == ["tidied up"]


def test_who_is_out_of_patience_is_heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(interrupt_module.time, "monotonic", lambda: now[0])
    done = []

    def work() -> None:
        with held(patience_seconds=3.0):
            press()
            now[0] = 2.0
            press()
            now[0] = 4.0
            with held():
                press()
                done.append("put back")
            done.append("still here")
            press()
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["put back", "still here"]


def test_threads_and_nothing_pressed_change_nothing() -> None:
    def inside() -> None:
        with held() as check:
            check()

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    inside()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_random_state_is_put_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    before, start = torch.get_rng_state(), RandomState()
    torch.rand(3)
    really = random.setstate
    monkeypatch.setattr(random, "setstate", lambda state: (press(), really(state)))
    with pytest.raises(KeyboardInterrupt):
        start.restore()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("real", [False, True], ids=["captured", "measured"])
def test_an_interrupt_of_a_step_waits_for_its_next_op(real: bool) -> None:
    """Elsewhere it may be lost, or end the process: what follows asks for a tensor's device, from C++, at once."""
    done = logging.Logger("not walked")  # out of the step's reach: what it reaches is put back
    done.text = ""  # type: ignore[attr-defined]

    class Pressing(torch.nn.Embedding):
        def forward(self, x: torch.Tensor) -> Any:
            if (type(x) is torch.Tensor) is real:
                press()
                done.text += "not yet"  # type: ignore[attr-defined]
                embedded = super().forward(x)
                done.text += "never"  # type: ignore[attr-defined]
                return embedded
            return super().forward(x)

    model = torch.nn.Sequential(Pressing(8, 4), torch.nn.Linear(4, 2))
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(KeyboardInterrupt):
        profile(model, torch.arange(8), loss=lambda model, batch: model(batch).sum())
    assert done.text == "not yet"  # type: ignore[attr-defined]
    assert all(map(torch.equal, before, model.parameters()))


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with open_kernel() as opened:
        assert opened.run(SETUP).everything().strip() == ""
        yield opened


def stopped(kernel: Kernel, line: str, sign: str) -> None:
    """Run `line`, press stop when it shows `sign`; nothing is changed, and one sentence tells so."""
    before = kernel.value("facts()")
    cell = kernel.start(line)
    kernel.wait_for(cell, sign)
    kernel.interrupt()
    kernel.finish(cell)
    if not cell.stderr:
        kernel.hear_late(cell)
    assert cell.stderr == TOLD
    assert cell.errors == []
    assert kernel.value("x") is None
    assert kernel.value("facts()") == before
    assert kernel.children() == []


def test_before_anything_is_captured(kernel: Kernel) -> None:
    """The first profile of a session imports half of torch: that is where the stop button is pressed."""
    kernel.run("moment = 'captured forward'")
    stopped(kernel, PROFILE.format(model='"say(model)"', name="late"), "at the start")


@pytest.mark.parametrize("when", ["captured", "real"])
@pytest.mark.parametrize("part", sampled(["backward", "forward", "update"], 1))
def test_in_capture_and_in_measuring(kernel: Kernel, when: str, part: str) -> None:
    kernel.run(f"moment = '{when} {part}'")
    stopped(kernel, PROFILE.format(model="model", name="late"), "in the middle")


def test_the_same_profile_then_succeeds(kernel: Kernel) -> None:
    before = kernel.value("facts()")
    kernel.run("moment = 'never'")
    cell = kernel.run(PROFILE.format(model="model", name="base"))
    assert (cell.stderr, cell.errors) == ("", [])
    assert "on top, measured" in cell.everything()
    after = kernel.value("facts()")
    assert after.pop("names") == (["base"], ["base"], ["base"], "base")
    assert after.pop("measured") == [None]
    assert {**before, **after} == before


def test_in_planning(kernel: Kernel) -> None:
    stopped(kernel, "x = %roam plan --order endless --name late", "in the middle")
    cell = kernel.run("x = %roam plan --order list --name soon")
    assert (cell.stderr, cell.errors) == ("", [])
    assert kernel.value("[row.name for row in bench.what_ifs]") == ["base", "soon"]


@pytest.mark.parametrize("action", ["run", "verify"])
def test_between_steps(kernel: Kernel, action: str) -> None:
    stopped(kernel, f"x = %roam {action} base --steps 1000000", "step ")


@pytest.mark.parametrize("part", ["forward", "backward"])
def test_in_a_step_of_verify(kernel: Kernel, part: str) -> None:
    kernel.run(f"moment = 'real {part}'")
    stopped(kernel, "x = %roam verify base --steps 2", "in the middle")


def test_all_of_it_then_succeeds(kernel: Kernel) -> None:
    kernel.run("moment = 'never'")
    for line in (PROFILE.format(model="model", name="base"), "x = %roam verify base --steps 2"):
        cell = kernel.run(line)
        assert (cell.stderr, cell.errors) == ("", [])
    assert kernel.value("x.identical")
