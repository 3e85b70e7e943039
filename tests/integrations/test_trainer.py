"""Trainer with planned steps trains as Trainer does, bit for bit: losses, norms, rates, metrics, parameters, states."""

import subprocess
import sys

import numpy
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import BatchEncoding, Trainer, TrainerCallback

from roam_lab.capture import optimizers_of
from tests.integrations.trainers import both, counts, gpt2


def accuracy(prediction):
    """A metric of evaluation."""
    return {"accuracy": float(numpy.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


def lora():
    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=4, lora_dropout=0.1, target_modules=["c_attn"], fan_in_fan_out=True)
    return get_peft_model(gpt2(), config)


def test_dropout_warm_up_clipping_evaluation_and_a_smaller_last_batch(tmp_path):
    _, planned = both(tmp_path, options={"compute_metrics": accuracy})
    assert counts(planned) == (9, 2)  # the first step is Trainer's
    assert [one for one in planned.state.log_history if "eval_accuracy" in one]
    assert all(one["grad_norm"] > 0 for one in planned.state.log_history if "loss" in one)
    assert len(planned.told) == 1
    assert "the plan was made for" in planned.told[0]
    assert planned.roam_reasons == {}


ARGUMENTS = [
    {"bf16": True},
    {"gradient_checkpointing": True},
    pytest.param(
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
        marks=pytest.mark.slow,
    ),
    {"label_smoothing_factor": 0.1},
    {"max_grad_norm": 0.0},
    {"neftune_noise_alpha": 5.0},
    {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 0}},
    {"lr_scheduler_type": "cosine", "optim": "adamw_torch_fused", "weight_decay": 0.1},
    {"optim": "sgd", "lr_scheduler_type": "constant"},
    pytest.param({"include_num_input_tokens_seen": "all"}, marks=pytest.mark.slow),
    {"logging_strategy": "epoch", "eval_strategy": "epoch"},
    pytest.param(
        {"dataloader_drop_last": True, "logging_steps": 1, "logging_nan_inf_filter": False}, marks=pytest.mark.slow
    ),
    pytest.param({"max_steps": 7}, marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=lambda one: "-".join(one))
def test_arguments_of_a_training(tmp_path, arguments):
    _, planned = both(tmp_path, **arguments)
    steps = planned.state.global_step - 1
    assert sum(counts(planned)) == steps
    assert counts(planned)[0] >= steps - 2


def test_lora(tmp_path):
    _, planned = both(tmp_path, model=lora)
    assert counts(planned) == (9, 2)
    frozen = planned.model.base_model.model.transformer.h[0].attn.c_attn.base_layer.weight
    assert torch.equal(frozen, gpt2().transformer.h[0].attn.c_attn.weight)


class Rescale(TrainerCallback):
    """Changes the strength of the adapters in the middle of a training."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step == 4:
            for module in model.modules():
                if hasattr(module, "set_scale"):
                    module.set_scale("default", 3.0)


@pytest.mark.slow
def test_lora_whose_scaling_a_callback_changes(tmp_path):
    _, planned = both(tmp_path, model=lora, options={"callbacks": [Rescale()]})
    assert counts(planned)[0] >= 2


class Record(TrainerCallback):
    """Whatever a callback is told and sees at the ends of steps, without the optimizer's own moments."""

    def __init__(self):
        self.seen = []

    def on_event(self, args, state, control, **kwargs):
        numbers = {key: value for key, value in vars(state).items() if isinstance(value, int | float | None)}
        flags = {key: value for key, value in vars(control).items() if isinstance(value, bool)}
        first = next(kwargs["model"].parameters()).detach().clone()
        rates = [group["lr"] for group in kwargs["optimizer"].param_groups] if kwargs["optimizer"] else []
        moments = len(kwargs["optimizer"].state) if kwargs["optimizer"] else 0
        self.seen.append((numbers, flags, first, rates, moments, len(state.log_history)))

    on_train_begin = on_epoch_begin = on_step_begin = on_step_end = on_log = on_evaluate = on_event
    on_epoch_end = on_train_end = on_event


def test_callbacks_see_what_they_see_today(tmp_path):
    eager, planned = both(tmp_path, options=lambda: {"callbacks": [Record()]})
    seen, now = (one.callback_handler.callbacks[-1].seen for one in (eager, planned))
    assert len(seen) > 12 * 3
    for before, after in zip(seen, now, strict=True):
        assert torch.equal(before[2], after[2])
        numbers = [[*one[:2], *one[3:]] for one in (before, after)]
        assert numbers[0] == numbers[1]
    assert counts(planned) == (9, 2)


class Halved(Trainer):
    """A loss of the user's own, with a term of its own."""

    strength = 0.5

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        logits = outputs.logits[:, :-1].reshape(-1, outputs.logits.shape[-1])
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:].reshape(-1))
        loss = loss * self.strength + 0.01 * outputs.logits.pow(2).mean()
        return (loss, outputs) if return_outputs else loss


@pytest.mark.slow
def test_a_loss_of_the_users_own(tmp_path):
    _, planned = both(tmp_path, Halved, prediction_loss_only=True)
    assert counts(planned) == (9, 2)


def tokens_loss(outputs, labels, num_items_in_batch=None):
    """As compute_loss_func takes it."""
    logits = outputs["logits"][:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 128), labels[:, 1:].reshape(-1), reduction="sum")
    return loss / num_items_in_batch


@pytest.mark.slow
def test_compute_loss_func(tmp_path):
    _, planned = both(tmp_path, options={"compute_loss_func": tokens_loss}, eval_strategy="no")
    assert counts(planned) == (9, 2)


class Twice(Trainer):
    """A training step of the user's own: the embedding's gradient is doubled."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = super().training_step(model, inputs, num_items_in_batch)
        model.transformer.wte.weight.grad.mul_(2)
        return loss


@pytest.mark.slow
def test_a_training_step_of_the_users_own(tmp_path):
    _, planned = both(tmp_path, Twice)
    assert counts(planned)[0] >= 8


def of_its_own(rows):
    """A collator whose batches are of transformers' own class."""
    return BatchEncoding({key: torch.stack([row[key] for row in rows]) for key in rows[0]})


class ByAttribute(Trainer):
    """Reads its batch as only that class allows."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(inputs.input_ids, labels=inputs.labels).loss


class Pairs(Trainer):
    """Its batches are tuples."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        ids, labels = inputs
        return model(input_ids=ids, labels=labels).loss

    def floating_point_ops(self, inputs):
        return 0


def pairs(rows):
    ids = torch.stack([row["input_ids"] for row in rows])
    return ids, ids.clone()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "collator"), [(ByAttribute, of_its_own), (Pairs, pairs)])
def test_batches_of_other_classes(tmp_path, kind, collator):
    _, planned = both(tmp_path, kind, options={"data_collator": collator}, max_steps=4, eval_strategy="no")
    assert counts(planned) == (3, 0)


def own_optimizer(model):
    """With a schedule of its own, and a hook on its steps."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.steps = []
    optimizer.register_step_post_hook(lambda one, *_: one.steps.append(one.param_groups[0]["lr"]))
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)


@pytest.mark.slow
def test_an_optimizer_and_a_schedule_of_the_users_own(tmp_path):
    def prepare(trainer):
        trainer.optimizer, trainer.lr_scheduler = own_optimizer(trainer.model)

    eager, planned = both(tmp_path, prepare=prepare, max_steps=5, eval_strategy="no")
    assert [optimizers_of(one.optimizer)[0].steps for one in (eager, planned)] == [[0.1, 0.1, 0.05, 0.05, 0.025]] * 2
    assert counts(planned)[0] >= 3


def test_the_comparison_can_fail(tmp_path):
    class Other(Halved):
        strength = 0.5000001

    with pytest.raises(AssertionError):
        both(tmp_path, Halved, planned=Other, eval_strategy="no", max_steps=2)


@pytest.mark.slow
def test_extra_time(tmp_path):
    _, planned = both(tmp_path, planned_options={"extra_time": 0.3, "check": 2}, max_steps=6)
    assert counts(planned) == (4, 1)
    assert planned.roam_step.plan.extra_time <= 0.3
    assert planned.roam_step.plan.arena_bytes < planned.roam_step.plan.captured_peak_bytes


def test_the_package_imports_nothing_heavy():
    code = "import sys, roam_lab.integrations; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
