"""Trainings by Trainer and by a Trainer with planned steps, compared bit by bit: logs, parameters, states, files."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from roam_lab.integrations.trainer import RoamMixin
from roam_lab.runtime.identity import digest

TIMES = ("runtime", "samples_per_second", "steps_per_second", "tokens_per_second")
LENGTH = 16
TEXT = json.__doc__.encode()[: LENGTH * 22]
DATA = [torch.tensor(list(TEXT[start : start + LENGTH])) for start in range(0, len(TEXT), LENGTH)]
ROWS = [{"input_ids": row, "labels": row} for row in DATA]
"""22 rows of bytes: with 4 a batch, 5 batches and a smaller one."""


def gpt2(**settings):
    """A small model with dropout, as transformers configures it."""
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=128, n_positions=LENGTH, n_embd=32, n_layer=2, n_head=2, **settings))


def arguments(folder, **more):
    """Warm-up, clipping, evaluation between steps, every second step logged."""
    given = {
        "per_device_train_batch_size": 4, "num_train_epochs": 2, "learning_rate": 1e-3, "warmup_steps": 3,
        "max_grad_norm": 0.5, "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 5, "save_strategy": "no",
        "report_to": [], "use_cpu": True, "disable_tqdm": True, "seed": 1,
    }  # fmt: skip
    return TrainingArguments(str(folder), **{**given, **more})


class Quiet(TrainerCallback):
    """In place of the one that prints each log."""


def trained(kind, folder, model=gpt2, resume=None, rows=ROWS, options=None, prepare=None, **more):
    """A trainer of this class after its training, with the warnings that it gave. `options`: of the constructor."""
    made = kind(model=model(), args=arguments(folder, **more), train_dataset=rows, eval_dataset=rows[:6],
                **(options() if callable(options) else options or {}))  # fmt: skip
    made.callback_handler.callbacks = [
        one for one in made.callback_handler.callbacks if type(one).__name__ != "PrinterCallback"
    ]
    if prepare is not None:
        prepare(made)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made.result = made.train(resume_from_checkpoint=resume)
    made.told = [str(one.message) for one in told if "ran eagerly" in str(one.message)]
    return made


def planned_of(kind):
    """The class with planned steps, made as a user makes it."""
    return type(f"Planned{kind.__name__}", (RoamMixin, kind), {"__module__": __name__})


def both(tmp_path, kind=Trainer, planned=None, planned_options=None, options=None, **more):
    """The training by `kind`, and by the same with planned steps; all that they leave is the same."""
    eager = trained(kind, tmp_path / "eager", options=options, **more)

    def all_options():
        return {**(options() if callable(options) else options or {}), **(planned_options or {})}

    ran = trained(planned or planned_of(kind), tmp_path / "planned", options=all_options, **more)
    assert left(eager) == left(ran)
    assert files(tmp_path / "eager") == files(tmp_path / "planned")
    return eager, ran


def counts(trainer):
    """Steps that were planned, and that the hook ran eagerly."""
    return trainer.roam_step.planned_steps, trainer.roam_step.eager_steps


def bits(value):
    """What can be compared, and tells -0.0 from 0.0."""
    if isinstance(value, dict):
        return {str(key): bits(one) for key, one in value.items() if not str(key).endswith(TIMES)}
    if isinstance(value, list | tuple):
        return [bits(one) for one in value]
    if isinstance(value, torch.Tensor):
        return digest(value), tuple(value.shape), str(value.dtype)
    if isinstance(value, numpy.ndarray):
        return bits(torch.from_numpy(value))
    return repr(value)


def left(trainer):
    """All that a training leaves in memory."""
    scheduler = trainer.lr_scheduler.state_dict()
    return {
        "logs": bits(trainer.state.log_history),
        "result": bits(trainer.result.metrics),
        "state": bits({key: value for key, value in vars(trainer.state).items() if key != "log_history"
                       and "checkpoint" not in key and key != "stateful_callbacks"}),
        "model": bits(trainer.model.state_dict()),
        "gradients": [one.grad is None for one in trainer.model.parameters()],
        "modes": [one.training for one in trainer.model.modules()],
        "optimizer": bits(trainer.optimizer.state_dict()),
        "scheduler": bits({key: value for key, value in scheduler.items() if not callable(value)}),
        "random": [bits(torch.get_rng_state()), bits(random.getstate()), bits(list(numpy.random.get_state()))],
    }  # fmt: skip


def files(folder: Path):
    """Every file of every checkpoint, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".safetensors":
            found[name] = bits(load_file(path))
        elif path.name == "training_args.bin":
            found[name] = path.name  # holds the folder's name
        elif path.suffix in (".pt", ".pth", ".bin"):
            found[name] = bits(torch.load(path, weights_only=False))
        elif path.name == "trainer_state.json":
            found[name] = bits(without_folders(json.loads(path.read_text())))
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def without_folders(state):
    """The state of a trainer without the names of folders."""
    return {key: value for key, value in state.items() if "checkpoint" not in key}
