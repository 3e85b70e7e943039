"""Every model and optimizer of the identity tests is captured as eager runs it, and its plan runs."""

import pytest

from roam_lab.capture.prime import can_prime
from tests.fake_cuda.device_counts import counted
from tests.fake_cuda.training import Training
from tests.zoo import MODELS, OPTIMIZERS, STEPS


def run(training, steps=3):
    """The hooked step after an eager one and some planned ones. What a first step makes is there by then."""
    training.eager()
    training.optimizer.zero_grad()
    hooked = training.hooked()
    first = 0 if can_prime(training.optimizer) else 1  # makes state in its first step, which runs eagerly
    for _ in range(steps + first):
        hooked(training.batch)
    assert hooked.planned_steps == steps, hooked.reasons
    assert hooked.eager_steps <= first, hooked.reasons
    return hooked


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models(name):
    run(Training(name))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimizers(name):
    training = Training("tiny", OPTIMIZERS[name])
    try:
        training.eager()
    except RuntimeError as error:  # torch 2.11 has no fused Adagrad on CUDA
        if not str(error).startswith("`fused=True` requires all the params"):
            raise
        pytest.skip(str(error))
    run(training)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_steps(name):
    run(Training("tiny", step=STEPS[name]))


@pytest.mark.parametrize("name", ["tiny", "vit", "resnet"])
def test_a_planned_step_waits_for_the_device_no_more_than_eager(name):
    eager = Training(name)
    eager.eager()
    with counted() as waited:
        eager.eager()
    training = Training(name)
    hooked = run(training)
    with counted() as found:
        hooked(training.batch)
    assert found.launches > 0
    assert (found.syncs, found.mallocs) == (waited.syncs, 0)
