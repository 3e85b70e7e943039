"""Trainer with planned steps trains as Trainer does, bit for bit: losses, norms, rates, metrics, parameters, states."""

import copy
import subprocess
import sys

import numpy
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainerCallback

from tests.integrations.trainers import ROWS, both, counts, gpt2


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
    {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
    {"label_smoothing_factor": 0.1},
    {"max_grad_norm": 0.0},
    {"neftune_noise_alpha": 5.0},
    {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 0}},
    {"lr_scheduler_type": "cosine", "optim": "adamw_torch_fused", "weight_decay": 0.1},
    {"optim": "sgd", "lr_scheduler_type": "constant"},
    {"include_num_input_tokens_seen": "all"},
    {"logging_strategy": "epoch", "eval_strategy": "epoch"},
    {"dataloader_drop_last": True, "logging_steps": 1, "logging_nan_inf_filter": False},
    {"max_steps": 7},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=lambda one: "-".join(one))
def test_arguments_of_a_training(tmp_path, arguments):
    _, planned = both(tmp_path, **arguments)
    steps = planned.state.global_step - 1
    assert sum(counts(planned)) == steps
    assert counts(planned)[0] >= steps - 2
