"""A plain training script with transformers' Trainer, in which the lines marked "planned" are all that is new.

A small GPT-2 learns bytes of Python's own help texts: nothing is downloaded.

python examples/trainer.py
"""

from __future__ import annotations

import tempfile
from pydoc_data.topics import topics

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

from roam_lab.integrations.trainer import RoamMixin  # planned


class PlannedTrainer(RoamMixin, Trainer): ...  # planned


LENGTH = 64


def rows(text: str) -> list[dict[str, torch.Tensor]]:
    """The bytes of a text, LENGTH in a row."""
    data = torch.tensor(list(text.encode())).unfold(0, LENGTH, LENGTH)
    return [{"input_ids": row, "labels": row} for row in data]


def main(folder: str, steps: int = 30) -> Trainer:
    """Train, and evaluate every ten steps."""
    set_seed(0)
    config = GPT2Config(
        vocab_size=256, n_positions=LENGTH, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
    )
    trainer = PlannedTrainer(  # planned
        model=GPT2LMHeadModel(config),
        args=TrainingArguments(
            folder, per_device_train_batch_size=8, max_steps=steps, learning_rate=3e-3, warmup_steps=5,
            logging_steps=5, eval_strategy="steps", eval_steps=10, save_steps=10, report_to=[],
        ),
        train_dataset=rows(topics["assignment"] + topics["class"]),
        eval_dataset=rows(topics["if"]),
        extra_time=0.1,  # planned
    )  # fmt: skip
    trainer.train()
    return trainer


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        step = main(folder).roam_step
    if step is not None:
        print(f"{step.planned_steps} steps planned, {step.eager_steps} eager; {step.plan}")
