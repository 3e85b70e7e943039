"""`profile`, `hook` before its first step, and `verify` leave everything that a user can reach as it was."""

import pytest

import roam_lab as roam
from tests.situations.effects import (
    changed_batch,
    counters,
    ema,
    generator,
    gradients_there,
    hooks_that_count,
    iterators,
    lazily_made,
    logs,
    norms,
    raises_in_the_middle,
    randomness,
    rebinding,
    scaler,
    scheduler,
    second_optimizer,
    tuple_of_optimizers,
    wrapped_optimizer,
)
from tests.situations.judge import Situation, same_seed
from tests.situations.models import adamw, inputs, mlp, slow_unless
from tests.situations.reachable import everything

KINDS = [
    ema, scheduler, logs, counters, iterators, generator, randomness, wrapped_optimizer, second_optimizer,
    tuple_of_optimizers, rebinding, norms, scaler, changed_batch, lazily_made, gradients_there, hooks_that_count,
    raises_in_the_middle,
]  # fmt: skip
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda f: f.__name__)


def seen(made):
    return everything(made.roots() | {"batches": made.batches})


def unchanged(made, function):
    """Runs `function`, whatever it raises of roam-lab's; nothing reachable may differ afterwards."""
    before = seen(made)
    try:
        result = function()
    except roam.RoamError as error:
        result = error
    after = seen(made)
    changed = [place for place in {**before, **after} if before.get(place) != after.get(place)]
    assert [f"{place}: {before.get(place)} -> {after.get(place)}" for place in changed] == []
    return result


def profiled(made, fake):
    return roam.profile(made.model, made.batch(0), made.optimizer, loss=made.loss, step=made.step, fake=fake)


@each_kind
@pytest.mark.parametrize("fake", [False, True], ids=["measured", "fake"])
def test_profile_leaves_no_trace(kind, fake):
    slow_unless(not fake or kind is rebinding)
    same_seed(0)
    made = kind()
    unchanged(made, lambda: profiled(made, fake))


@each_kind
def test_profile_after_two_steps_leaves_no_trace(kind):
    """State is there, and counters have begun."""
    slow_unless(kind in (ema, scheduler, wrapped_optimizer, second_optimizer))
    if kind is raises_in_the_middle:
        pytest.skip("its eager step cannot run")
    same_seed(0)
    made = kind()
    for index in (1, 2):
        made.eager(made.batch(index))
    unchanged(made, lambda: profiled(made, False))


@each_kind
def test_verify_leaves_no_trace(kind):
    slow_unless(kind in (ema, scheduler, logs, counters, tuple_of_optimizers, wrapped_optimizer, rebinding))
    same_seed(0)
    made = kind()
    try:
        plan = profiled(made, True).plan()
    except roam.RoamError:
        return  # refused: test_profile_leaves_no_trace has looked at what is left
    given = {"loss": made.loss, "step": made.step, "steps": 2}
    unchanged(made, lambda: roam.verify(plan, made.model, made.optimizer, made.batch(0), **given))


@each_kind
def test_hook_alone_leaves_no_trace(kind):
    slow_unless(kind in (ema, scheduler))
    same_seed(0)
    made = kind()
    try:
        plan = profiled(made, True).plan()
    except roam.RoamError:
        return
    unchanged(made, lambda: roam.hook(plan, made.model, made.optimizer, loss=made.loss, step=made.step))


def test_verify_looks_at_everything():
    """A verification that finds no difference in a step that is planned wrongly must not exist: what it compares
    includes the second optimizer's parameters and the average of the weights."""
    same_seed(0)
    made = tuple_of_optimizers()
    plan = profiled(made, False).plan()
    told = roam.verify(plan, made.model, made.optimizer, made.batch(0), step=made.step, steps=2)
    assert told.identical, told.differences


def test_inputs_stay_those_of_the_user():
    """The very tensors: profile does not exchange them for copies."""
    model = mlp()
    made = Situation(model, adamw(model), inputs(), lambda m, x: m(x).square().mean())
    made.eager(made.batch(0))
    kept = [(p, p.data_ptr(), made.optimizer.state[p]["exp_avg"]) for p in model.parameters()]
    profiled(made, False)
    for (p, address, average), now in zip(kept, model.parameters(), strict=True):
        assert p is now
        assert p.data_ptr() == address
        assert made.optimizer.state[p]["exp_avg"] is average
