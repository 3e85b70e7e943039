"""The promise: four planned steps leave, bit for bit, what four eager steps leave, with the rate changing every step.

In process and on copies, for speed; `verify_file` proves the same from fresh processes.
"""

import pytest
import torch

from roam_lab.capture.captured import capture_step
from roam_lab.capture.prime import can_prime
from roam_lab.capture.snapshot import RandomState
from roam_lab.capture.step import as_step
from roam_lab.plan.planner import make_plan
from roam_lab.runtime.hook import hook
from roam_lab.runtime.identity import digest, digests, first_differences
from roam_lab.runtime.measured_run import decay_learning_rates
from tests.copies import copied
from tests.twins import apart_from, sampled
from tests.zoo import MODELS, OPTIMIZERS, STEPS, adamw, adamw_groups, tiny, tiny_checkpointed

COUNT = 4
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param == "cuda":
        torch.use_deterministic_algorithms(True)
    yield request.param
    torch.use_deterministic_algorithms(False)


def on(device, batch):
    return torch.utils._pytree.tree_map(lambda x: x.to(device) if isinstance(x, torch.Tensor) else x, batch)


def run(step, model, optimizer, batch):
    """Loss bits of each step and all that is left at the end, the random state among it."""
    found = {}
    for index in range(COUNT):
        found[f"loss {index + 1}"] = digest(step(batch))
        decay_learning_rates(optimizer)
    found.update(digests(model, optimizer))
    found["random state"] = digest(torch.get_rng_state())
    return found


def assert_identical(model, optimizer, batch, loss=None, step=None):
    if not can_prime(optimizer):  # its first step makes the state, and runs eagerly
        as_step(loss, step)(model, optimizer, batch)
    elif any(getattr(module, "config", None) is not None for module in model.modules()):
        as_step(loss, step)(model, optimizer, batch)  # some settle in it what kind of problem they solve
    plan = make_plan(capture_step(model, optimizer, batch, as_step(loss, step)).graph)
    start = RandomState()
    twin, twin_optimizer = copied(model, optimizer)
    eager = run(lambda batch: as_step(loss, step)(twin, twin_optimizer, batch), twin, twin_optimizer, batch)
    start.restore()
    planned_step = hook(plan, model, optimizer, loss=loss, step=step, on_mismatch="error")
    planned = run(planned_step, model, optimizer, batch)
    assert first_differences(eager, planned) == ()


SLOW = ("bert", "densenet", "t5", "unet", "vit")
"""Models whose kinds the others have, too, or tests/coverage."""


def of_models(names):
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else []) for name in sorted(names)]


@pytest.mark.parametrize("name", of_models(MODELS))
def test_models(name, device):
    torch.manual_seed(0)
    model, batch, loss = MODELS[name]()
    model.to(device)
    assert_identical(model, adamw(model.parameters()), on(device, batch), loss)


IN_TURN = ("foreach", "fused", "single")
"""The forms of an optimizer: of every second one is tried here, and each form with several."""


def of_optimizers():
    seen, stay = set(), []
    for name in sorted(OPTIMIZERS):
        kind, _, form = name.rpartition("_")
        if not (form in IN_TURN and kind in seen and kind not in ("adamw", "sgd_momentum")):
            stay.append(name)
        seen.add(kind)
    return apart_from(stay[::2], sorted(OPTIMIZERS))


@pytest.mark.parametrize("name", of_optimizers())
def test_optimizers(name, device):
    torch.manual_seed(0)
    model, batch, loss = tiny()
    model.to(device)
    assert_identical(model, OPTIMIZERS[name](model.parameters()), on(device, batch), loss)


AGED = [
    "adafactor_single",
    "adam_foreach",
    "adamw_amsgrad_single",
    "adamw_fused",
    "nadam_single",
    "rmsprop_momentum_centered_single",
    "sgd_momentum_foreach",
    "sgd_nesterov_fused",
]


@pytest.mark.parametrize("name", sampled(AGED, 2))
def test_optimizers_that_have_run_before(name, device):
    """State and step counts as after a checkpoint was loaded."""
    torch.manual_seed(0)
    model, batch, loss = tiny()
    model.to(device)
    optimizer = OPTIMIZERS[name](model.parameters())
    for _ in range(2):
        as_step(loss)(model, optimizer, on(device, batch))
    assert_identical(model, optimizer, on(device, batch), loss)


@pytest.mark.parametrize("name", sampled(sorted(STEPS), 4))
@pytest.mark.parametrize(
    "make_optimizer",
    [adamw, *(pytest.param(one, marks=pytest.mark.slow) for one in (adamw_groups, OPTIMIZERS["sgd_momentum_single"]))],
)
def test_user_steps(name, make_optimizer, device):
    torch.manual_seed(0)
    model, batch, _ = tiny()
    model.to(device)
    assert_identical(model, make_optimizer(model.parameters()), on(device, batch), step=STEPS[name])


LONG_STEPS = ("accumulation", "clipped", "clipped_accumulation")
"""Steps whose parts the others have."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LONG_STEPS else []) for name in sorted(STEPS)]
)
def test_user_steps_with_checkpointing(name, device):
    torch.manual_seed(0)
    model, batch, _ = tiny_checkpointed()
    model.to(device)
    assert_identical(model, adamw(model.parameters()), on(device, batch), step=STEPS[name])


@pytest.mark.parametrize(
    "name", ["resnet", *(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet", "gpt2"))]
)
def test_evaluation_mode(name, device):
    """Frozen statistics and no dropout: fine-tuning as many do it."""
    torch.manual_seed(0)
    model, batch, loss = MODELS[name]()
    model.to(device).eval()
    assert_identical(model, adamw(model.parameters()), on(device, batch), loss)
