"""`roam.hook` in the life of a training script: other batches, modes and settings, replaced tensors, failures."""

import copy
import gc
import io
import warnings
import weakref

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import as_step, capture_step
from roam_lab.errors import FormatError, InputError, MismatchError, RoamError
from roam_lab.plan import make_plan
from roam_lab.runtime.identity import digest, digests
from tests.zoo import OPTIMIZERS, STEPS, tiny


def mean_square(model, batch):
    return model(batch).pow(2).mean()


def network():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 4))


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


class Pair:
    """A planned run and its eager twin, taken the same way."""

    def __init__(self, model=None, make=adamw, batch=None, loss=mean_square, step=None, rewrites=None, **options):
        torch.manual_seed(0)
        model = model or network()
        self.batch = torch.randn(5, 4) if batch is None else batch
        self.models = model, copy.deepcopy(model)
        self.optimizers = tuple(map(make, self.models))
        self.eager, self.warned = step or as_step(loss), []
        captured = capture_step(self.models[0], self.optimizers[0], self.batch, self.eager)
        self.plan = make_plan(captured.graph, environment=captured.environment, rewrites=rewrites)
        self.planned = roam.hook(self.plan, self.models[0], self.optimizers[0], step=self.eager, **options)

    def both(self, function):
        for model, optimizer in zip(self.models, self.optimizers, strict=True):
            function(model, optimizer)

    def step(self, batch=None, planned=True):
        """One step of both: same bits; `planned` says whether the plan is to run."""
        batch = self.batch if batch is None else batch
        random, ran = torch.get_rng_state(), (self.planned.planned_steps, self.planned.eager_steps)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            loss = self.planned(batch)
        self.warned += [str(one.message) for one in warned]
        torch.set_rng_state(random)
        assert digest(loss) == digest(self.eager(self.models[1], self.optimizers[1], batch))
        assert digests(self.models[0], self.optimizers[0]) == digests(self.models[1], self.optimizers[1])
        now = (self.planned.planned_steps, self.planned.eager_steps)
        assert now == ((ran[0] + 1, ran[1]) if planned else (ran[0], ran[1] + 1)), self.planned.reasons
        return loss


def test_steps_with_a_scheduler_warn_of_nothing():
    pair = Pair(make=lambda model: torch.optim.SGD(model.parameters(), lr=1, momentum=0.9))
    schedulers = [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5) for optimizer in pair.optimizers]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            pair.step()
            for scheduler in schedulers:
                scheduler.step()
    assert pair.optimizers[0].param_groups[0]["lr"] == 0.125


def test_the_loss_stays_valid():
    pair = Pair()
    first = pair.step()
    value = first.item()
    assert pair.step().item() != value
    assert first.item() == value
    assert not first.requires_grad


def test_a_plan_from_a_file(tmp_path):
    pair = Pair(rewrites=())
    pair.plan.save(tmp_path / "plan.roam.json", bare=True)
    for path in (tmp_path / "plan.roam.json", str(tmp_path / "plan.roam.json")):
        planned = roam.hook(path, *next(zip(pair.models, pair.optimizers, strict=True)), loss=mean_square)
        assert torch.isfinite(planned(pair.batch))
    (tmp_path / "cut.roam.json").write_bytes((tmp_path / "plan.roam.json").read_bytes()[:-30])
    with pytest.raises(FormatError, match=r"cut\.roam\.json"):
        roam.hook(tmp_path / "cut.roam.json", pair.models[0], pair.optimizers[0])


def test_arguments_that_cannot_be_right():
    pair = Pair()
    with pytest.raises(InputError, match="on_mismatch is 'eagre'; choose 'eager', 'error' or 'replan'"):
        roam.hook(pair.plan, pair.models[0], pair.optimizers[0], on_mismatch="eagre")
    with pytest.raises(RoamError, match="give loss= or step=, not both"):
        roam.hook(pair.plan, pair.models[0], pair.optimizers[0], loss=mean_square, step=pair.eager)


def test_a_plan_that_would_round_otherwise():
    pair = Pair()
    loose = make_plan(pair.plan.graph, alignment=4)
    with pytest.raises(MismatchError, match="no multiples of 64 bytes, where some ops round otherwise than eagerly"):
        roam.hook(loose, pair.models[0], pair.optimizers[0], loss=mean_square)


def test_another_model_is_refused_at_once_and_another_step_at_its_first_call():
    pair = Pair()
    other = nn.Linear(4, 4)
    with pytest.raises(MismatchError, match="the plan was made for another model than this Linear"):
        roam.hook(pair.plan, other, adamw(other), loss=mean_square)
    optimizer = torch.optim.SGD(pair.models[0].parameters())
    planned = roam.hook(pair.plan, pair.models[0], optimizer, loss=mean_square)
    with pytest.raises(MismatchError, match=r"made for another training step \(graph .*another optimizer, loss, model"):
        planned(pair.batch)
    replanned = roam.hook(pair.plan, pair.models[0], optimizer, loss=mean_square, on_mismatch="replan")
    assert torch.isfinite(replanned(pair.batch))


@pytest.mark.parametrize("shape", [(3, 4), pytest.param((5, 4, 1), marks=pytest.mark.slow)])
def test_batches_of_another_shape(shape):
    batch = torch.randn(3, 4) if shape == (3, 4) else torch.randn(4, 5).T
    for on_mismatch, planned in (("eager", False), ("replan", True)):
        pair = Pair(on_mismatch=on_mismatch)
        for _ in range(2):
            pair.step()
            pair.step(batch, planned=planned)
    pair = Pair(on_mismatch="error")
    pair.step()
    with pytest.raises(
        MismatchError, match=r"this batch is float32\[.*; the plan was made for float32\[5, 4\]@cpu; pad"
    ):
        pair.planned(batch)
    pair.step()


def test_views_as_batches():
    pair = Pair()
    data = torch.randn(3, 5, 4)
    for index in range(3):
        pair.step(data[index])


def test_training_and_evaluation_mode():
    pair = Pair()
    pair.step()
    pair.both(lambda model, _: model.eval())
    pair.step(planned=False)
    pair.both(lambda model, _: model.train())
    pair.step()
    pair.both(lambda model, _: model[1].eval())
    pair.step(planned=False)
    pair.both(lambda model, _: model[1].train())
    pair.step()


def test_modes_are_planned_again_where_asked():
    pair = Pair(on_mismatch="replan")
    pair.both(lambda model, _: model.eval())
    pair.step()
    pair.both(lambda model, _: model[0].requires_grad_(False))
    pair.step()


def test_a_layer_frozen_between_steps():
    pair = Pair()
    pair.step()
    pair.both(lambda model, _: model[0].requires_grad_(False))
    pair.step(planned=False)
    pair.both(lambda model, _: model[0].requires_grad_(True))
    pair.step()


def test_autocast_around_the_call():
    pair = Pair()
    pair.step()
    with torch.autocast("cpu", torch.bfloat16):
        pair.step(planned=False)
    pair.step()


def set_group(**settings):
    return lambda _, optimizer: optimizer.param_groups[0].update(settings)


BRANCHES = [
    (adamw, {"weight_decay": 0.0}),
    (adamw, {"maximize": True}),
    (lambda model: torch.optim.SGD(model.parameters(), lr=0.1), {"weight_decay": 0.1}),
]


@pytest.mark.parametrize(("make", "settings"), BRANCHES)
def test_settings_that_take_another_branch(make, settings):
    pair = Pair(make=make)
    before = {key: pair.optimizers[0].param_groups[0][key] for key in settings}
    pair.step()
    pair.both(set_group(**settings))
    pair.step(planned=False)
    pair.both(set_group(**before))
    pair.step()


def test_settings_that_take_another_branch_are_planned_again_or_refused_where_asked():
    make, settings = BRANCHES[-1]
    pair = Pair(make=make, on_mismatch="replan")
    pair.step()
    pair.both(set_group(**settings))
    pair.step()
    pair.step()
    pair = Pair(make=make, on_mismatch="error")
    pair.step()
    pair.both(set_group(**settings))
    with pytest.raises(MismatchError, match="a setting of the optimizer now takes another branch of its update"):
        pair.planned(pair.batch)


def test_settings_that_only_change_their_number():
    pair = Pair()
    for number in (0.5, 0.25):
        pair.both(set_group(lr=number / 10, weight_decay=number, betas=(number, 0.9), eps=1e-6 * number))
        pair.step()


def clearing_all(model, optimizer, batch):
    loss = mean_square(model, batch)
    loss.backward()
    optimizer.step()
    model.zero_grad()
    return loss


def test_a_group_of_parameters_added_later():
    make = lambda model: torch.optim.AdamW(model[0].parameters())  # noqa: E731
    pair = Pair(make=make, step=clearing_all)
    pair.step()
    pair.both(lambda model, optimizer: optimizer.param_groups[0]["params"].append(model[3].bias))
    pair.step(planned=False)
    pair.both(lambda model, optimizer: optimizer.add_param_group({"params": [model[3].weight]}))
    pair.step(planned=False)
    branch = "a setting of the optimizer now takes another branch of its update than in the plan (the number of "
    assert pair.planned.reasons == {
        branch + "parameters in group 0)": 1,
        branch + "parameter groups)": 1,
    }


def test_gradients_that_a_step_leaves_are_not_kept():
    """The optimizer's zero_grad leaves those of parameters that it does not hold; nothing reads them."""
    pair = Pair(make=lambda model: torch.optim.AdamW(model[0].parameters()))
    for _ in range(3):
        pair.step()
    assert pair.models[1][3].bias.grad is not None
    assert all(parameter.grad is None for parameter in pair.models[0].parameters())


def test_gradients_that_a_step_leaves_and_the_next_one_reads():
    """Eager clips by the sum of all steps' gradients of what the optimizer does not hold."""

    def step(model, optimizer, batch):
        loss = mean_square(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    pair = Pair(make=lambda model: torch.optim.AdamW(model[0].parameters()), step=step)
    for _ in range(3):
        pair.step()

    def clearing(model, optimizer, batch):
        model.zero_grad()
        return step(model, optimizer, batch)

    pair = Pair(make=lambda model: torch.optim.AdamW(model[0].parameters()), step=clearing)
    for _ in range(3):
        pair.step()


def test_state_loaded_between_steps():
    pair = Pair()
    pair.step()
    kept = [
        (copy.deepcopy(m.state_dict()), copy.deepcopy(o.state_dict()))
        for m, o in zip(pair.models, pair.optimizers, strict=True)
    ]
    first = pair.step()
    for (model, optimizer), (values, state) in zip(zip(pair.models, pair.optimizers, strict=True), kept, strict=True):
        model.load_state_dict(values)
        optimizer.load_state_dict(state)
    assert pair.step().item() == first.item()


def test_replaced_data_is_found_again():
    pair = Pair()
    pair.step()

    def replace(model, _):
        model[0].weight.data = model[0].weight.data.clone() * 2
        model[1].running_mean = torch.ones(6)

    pair.both(replace)
    pair.step()


def test_state_thrown_away_is_made_again():
    pair = Pair()
    pair.step()
    pair.both(lambda _, optimizer: optimizer.state.clear())
    pair.step()


def test_what_is_saved_is_what_eager_saves():
    pair = Pair()
    pair.step()
    files = []
    for model, optimizer in zip(pair.models, pair.optimizers, strict=True):
        file = io.BytesIO()
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
        files.append((file.seek(0), torch.load(file, weights_only=True), len(file.getvalue()))[1:])
    assert files[0][1] == files[1][1]  # no arena behind any of the tensors
    for name, value in files[0][0]["model"].items():
        assert torch.equal(value, files[1][0]["model"][name])


def test_evaluation_between_steps():
    pair = Pair()
    pair.step()
    with torch.no_grad():
        assert torch.equal(*(model(pair.batch) for model in pair.models))
    pair.step()
    assert all(p.grad is None and p.requires_grad for p in pair.models[0].parameters())
    mean_square(pair.models[0], pair.batch).backward()  # autograd still works on the parameters
    pair.models[0].zero_grad()
    with torch.no_grad():
        pair.models[1](pair.batch)  # its running statistics, too
    pair.step()


def test_two_hooks_on_one_model_in_turn():
    model, twin = (m for m in Pair().models)
    batches = torch.randn(5, 4), torch.randn(2, 4)
    losses = mean_square, lambda model, batch: model(batch).abs().sum()
    optimizer, twin_optimizer = adamw(model), adamw(twin)
    hooks = []
    for batch, loss in zip(batches, losses, strict=True):
        plan = make_plan(capture_step(model, optimizer, batch, as_step(loss)).graph)
        hooks.append(roam.hook(plan, model, optimizer, loss=loss, on_mismatch="error"))
    for _ in range(2):
        for planned, batch, loss in zip(hooks, batches, losses, strict=True):
            assert torch.equal(planned(batch), as_step(loss)(twin, twin_optimizer, batch))
    assert digests(model, optimizer) == digests(twin, twin_optimizer)


def test_state_that_only_a_first_step_can_make():
    pair = Pair(make=lambda model: OPTIMIZERS["sgd_dampening"](model.parameters()))
    pair.planned.prepare(pair.batch)
    assert pair.planned._compiled == {}
    pair.step(planned=False)
    pair.step()


def test_accumulation_with_fewer_micro_batches_runs_eagerly():
    model, batch, _ = tiny()
    model.eval()
    optimizer, step = adamw(model), STEPS["accumulation"]
    captured = capture_step(model, optimizer, batch, step)
    plan = make_plan(captured.graph, environment=captured.environment)
    planned = roam.hook(plan, model, optimizer, step=step)
    short = {key: value[:, :3] for key, value in batch.items()}
    assert torch.isfinite(planned(batch))
    assert torch.isfinite(planned(short))
    assert len(planned._compiled) == 1


def test_an_op_that_fails_is_named_with_the_users_line():
    model, batch, _ = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plan = make_plan(capture_step(model, optimizer, batch).graph)
    planned = roam.hook(plan, model, optimizer, on_mismatch="error")
    planned(batch)
    bad = {**batch, "ids": torch.full_like(batch["ids"], 99)}
    message = r"op embedding \(aten\.embedding\.default, tests/zoo\.py:\d+\) failed while the plan ran \(.*out of range"
    with pytest.raises(MismatchError, match=message) as raised:
        planned(bad)
    assert "\n" not in str(raised.value)
    assert torch.isfinite(planned(batch))
    with pytest.raises(IndexError, match="out of range"):  # nothing was changed yet: what eager raises
        roam.hook(plan, model, optimizer)(bad)
    unchecked = roam.hook(plan, model, optimizer, check="never")
    with pytest.raises(IndexError, match="out of range"):  # also where the planned step is the first that runs
        unchecked(bad)
    assert torch.isfinite(unchecked(batch))


def test_nothing_of_a_deleted_step_stays():
    pair = Pair()
    pair.planned(pair.batch)
    watched = [weakref.ref(compiled._function.__globals__["t0"]) for compiled in pair.planned._compiled.values()]
    gc.collect()
    gc.disable()
    try:
        del pair
        assert [ref() for ref in watched] == [None]
    finally:
        gc.enable()
