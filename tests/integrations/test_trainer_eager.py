"""What cannot be planned goes on as in Trainer, bit for bit, with one reason; or is refused by name."""

import types

import pytest
import torch
from accelerate.utils import DistributedType
from transformers import Trainer, TrainerCallback

from roam_lab.errors import InfeasibleError, MismatchError, RoamError
from roam_lab.integrations.trainer import RoamMixin
from roam_lab.integrations.trainer_limits import why_eager
from tests.integrations.trainers import ROWS, both, counts, planned_of, trained

STEPS = {"max_steps": 4, "eval_strategy": "no"}


def eager_for(tmp_path, told, steps=4, **more):
    """All steps ran as in Trainer, for this reason, which was told once."""
    _, planned = both(tmp_path, **{**STEPS, **more})
    assert planned.roam_step is None
    assert list(planned.roam_reasons.values()) == [steps]
    assert len(planned.told) == 1
    assert told in planned.told[0]
    return planned


@pytest.mark.parametrize(
    ("over", "epochs", "steps"), [pytest.param(4, 2, (9, 2), marks=pytest.mark.slow), (2, 1, (4, 1))]
)
def test_accumulation(tmp_path, over, epochs, steps):
    """Over calls: each epoch of six batches, the last of which is smaller; over four it ends with a window of two."""
    _, planned = both(tmp_path, gradient_accumulation_steps=over, num_train_epochs=epochs, eval_strategy="no")
    assert planned.roam_reasons == {}
    assert counts(planned) == steps  # the first one is Trainer's


class Norms(TrainerCallback):
    """Reads gradients."""

    def __init__(self):
        self.norms = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.norms.append([p.grad.norm().item() for p in model.parameters()])


def test_a_callback_that_reads_gradients(tmp_path):
    planned = eager_for(
        tmp_path, "Norms.on_pre_optimizer_step may read gradients", options=lambda: {"callbacks": [Norms()]}
    )
    assert len(planned.callback_handler.callbacks[-1].norms) == 4


class Clips(Trainer):
    """Clips in another way."""

    def _clip_grad_norm(self, model):
        return torch.nn.utils.clip_grad_value_(model.parameters(), 0.01)


def test_clipping_of_the_users_own(tmp_path):
    eager_for(tmp_path, "has a _clip_grad_norm of its own", kind=Clips)


def second_pass(base):
    class Second(base):
        def training_step(self, model, inputs, num_items_in_batch=None):
            loss = super().training_step(model, inputs, num_items_in_batch)
            again = self.compute_loss(model, self._prepare_inputs(inputs), num_items_in_batch=num_items_in_batch)
            self.accelerator.backward(again)
            return loss

    return Second


def test_a_training_step_before_the_mixin(tmp_path):
    above = second_pass(planned_of(Trainer))
    eager_for(tmp_path, "training_step comes before RoamMixin's", kind=second_pass(Trainer), planned=above)


@pytest.mark.slow
@pytest.mark.parametrize("smoothing", [0.0, 0.1])  # with it, labels are taken out of what each pass has prepared
def test_the_same_training_step_behind_the_mixin(tmp_path, smoothing):
    _, planned = both(tmp_path, second_pass(Trainer), label_smoothing_factor=smoothing, **STEPS)
    assert counts(planned) == (3, 0)


class Wrapper(torch.nn.Module):
    """As DataParallel wraps a model."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


class Wrapping(Trainer):
    def _wrap_model(self, model, training=True, dataloader=None):
        return Wrapper(model) if training else model


def test_a_wrapped_model(tmp_path):
    eager_for(tmp_path, "the model is wrapped in a Wrapper", kind=Wrapping)


def test_compilation(tmp_path):
    eager_for(tmp_path, "torch_compile", prepare=lambda trainer: setattr(trainer.args, "torch_compile", True))


def test_caches_emptied_in_the_middle(tmp_path):
    eager_for(tmp_path, "torch_empty_cache_steps", torch_empty_cache_steps=2)


def test_other_limits_are_named(tmp_path, monkeypatch):
    trainer = trained(planned_of(Trainer), tmp_path, max_steps=1, eval_strategy="no")

    def told():
        return why_eager(trainer, RoamMixin, trainer.model)

    assert told() is None
    for value, words in (("DEEPSPEED", "distributed (DEEPSPEED"), ("FSDP", "distributed (FSDP"), ("MULTI_CPU", "dist")):
        with monkeypatch.context() as patch:
            patch.setattr(type(trainer.accelerator), "distributed_type", DistributedType(value))
            assert words in told()
    with monkeypatch.context() as patch:
        patch.setattr(trainer.accelerator, "scaler", torch.amp.GradScaler("cpu"))
        assert "fp16" in told()
    with monkeypatch.context() as patch:
        patch.setattr(trainer.args, "optim", "lomo")
        assert "lomo" in told()


def test_a_loss_that_cannot_be_captured(tmp_path):
    class Reads(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            loss = model(**inputs).loss
            (tmp_path / "loss").write_text("here")
            return loss

    _, planned = both(tmp_path, Reads, **STEPS)
    assert counts(planned) == (0, 3)
    [(reason, steps)] = planned.roam_step.reasons.items()
    assert "opens, looks for or changes the file" in reason
    assert (steps, planned.state.global_step) == (3, 4)


def test_gradients_that_come_after_the_planned_step_are_no_secret(tmp_path):
    class Sneaks(Trainer):
        def floating_point_ops(self, inputs):
            self.model(**inputs).loss.backward()
            return 0

    with pytest.raises(RoamError, match="there are gradients that were made after the planned step"):
        trained(planned_of(Sneaks), tmp_path, **STEPS)


@pytest.mark.slow
def test_with_on_mismatch_error(tmp_path):
    with pytest.raises(MismatchError, match=r"caches are emptied .*; train with Trainer alone"):
        trained(planned_of(Trainer), tmp_path, options={"on_mismatch": "error"}, torch_empty_cache_steps=1, **STEPS)
    with pytest.raises(MismatchError, match="the plan was made for"):
        trained(planned_of(Trainer), tmp_path, options={"on_mismatch": "error"}, max_steps=7)


@pytest.mark.slow
def test_a_budget_that_cannot_be_met(tmp_path):
    with pytest.raises(InfeasibleError, match="too few"):
        trained(planned_of(Trainer), tmp_path, options={"budget": 1000}, **STEPS)


@pytest.mark.slow
def test_replan(tmp_path):
    _, planned = both(tmp_path, planned_options={"on_mismatch": "replan"}, eval_strategy="no")
    assert counts(planned) == (11, 0)
    assert planned.told == []


def test_a_step_outside_of_training(tmp_path):
    trainer = trained(planned_of(Trainer), tmp_path, **STEPS)
    before = counts(trainer)
    inputs = trainer.data_collator(ROWS[:4])
    trainer.training_step(trainer.model, inputs)
    assert counts(trainer) == before
    assert all(parameter.grad is not None for parameter in trainer.model.parameters())


@pytest.mark.slow
def test_what_the_instance_overrides(tmp_path):
    def prepare(trainer):
        trainer._prepare_inputs = types.MethodType(Trainer._prepare_inputs, trainer)

    eager_for(tmp_path, "_prepare_inputs comes before RoamMixin's", prepare=prepare)


@pytest.mark.slow
def test_no_plan_is_made_for_a_smaller_last_batch(tmp_path):
    _, planned = both(tmp_path, rows=ROWS[:6], num_train_epochs=3, eval_strategy="no")
    assert counts(planned) == (2, 2)  # the first of each is Trainer's
