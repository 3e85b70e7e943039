"""Trainings whose loop is a library's: transformers' Trainer, and Lightning."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from benchmarks.integrations.setting import CLIP, LEARNING_RATE, Record, Run, script


@script
def trainer(run: Run, record: Record) -> dict[str, Any]:
    """transformers' Trainer with its own optimizer, schedule, clipping, evaluation and checkpoints."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from roam_lab.integrations.trainer import RoamMixin

    class PlannedTrainer(RoamMixin, Trainer): ...

    class Recording(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            record.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            record.end()

        def on_log(self, _: Any, state: Any, control: Any, logs: Any = None, **__: Any) -> None:
            for key, known in (("loss", record.losses), ("grad_norm", record.norms)):
                if key in logs:
                    known.append(logs[key])

        def on_evaluate(self, _: Any, state: Any, control: Any, metrics: Any = None, **__: Any) -> None:
            record.evaluations.append(metrics["eval_loss"])

    arguments = TrainingArguments(
        str(run.folder), per_device_train_batch_size=run.size.batch, per_device_eval_batch_size=run.size.batch,
        max_steps=run.steps, learning_rate=LEARNING_RATE, warmup_steps=run.steps // 20, max_grad_norm=CLIP,
        logging_steps=1, eval_strategy="steps", eval_steps=run.evaluate, save_strategy="steps", save_steps=run.middle,
        report_to=[], use_cpu=run.device == "cpu", disable_tqdm=True, seed=0,
    )  # fmt: skip
    arguments._n_gpu = min(arguments.n_gpu, 1)  # of several, Trainer would take all
    given = {"train_dataset": run.rows(), "eval_dataset": run.rows(evaluation=True), "callbacks": [Recording()]}
    if run.hooked:
        made: Any = PlannedTrainer(model=run.model(), args=arguments, check=run.check, **given)
    else:
        made = Trainer(model=run.model(), args=arguments, **given)
    record.model_is_built()
    made.train(resume_from_checkpoint=str(run.folder / f"checkpoint-{run.middle}") if run.resumed else None)
    return record.row(made.model, made.optimizer, _Counts(made, len(record.seconds)) if run.hooked else None)


class _Counts:
    """Of `ran` steps of a Trainer: those of the hook, and those that Trainer ran by itself, the first one included."""

    def __init__(self, trainer: Any, ran: int) -> None:
        step = trainer.roam_step
        self.planned_steps = step.planned_steps if step else 0
        self.eager_steps = ran - self.planned_steps
        self.notes = step.notes if step else []
        self.reasons = {**(step.reasons if step else {}), **trainer.roam_reasons}
        if first := self.eager_steps - sum(self.reasons.values()):
            self.reasons["the first step of a training runs as Trainer runs it"] = first


@script
def lightning(run: Run, record: Record) -> dict[str, Any]:
    """Lightning under automatic optimization, with a schedule of steps, clipping, validation and ModelCheckpoint."""
    import lightning as L  # noqa: N812
    from lightning.pytorch.callbacks import ModelCheckpoint

    from roam_lab.integrations.lightning import RoamCallback

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = run.model().train()

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = self.model(**batch).loss
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("validation", self.model(**batch).loss)

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE)
            return [optimizer], [{"scheduler": LambdaLR(optimizer, run.rate), "interval": "step"}]

    class Recording(L.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            record.begin()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
            record.end()
            record.losses.append(outputs["loss"].item())

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            record.evaluations.append(trainer.callback_metrics["validation"].item())

    L.seed_everything(0, verbose=False)
    roam = RoamCallback(check=run.check) if run.hooked else None
    saving = ModelCheckpoint(run.folder, filename="at-{step}", every_n_train_steps=run.middle, save_top_k=-1)
    module = Module()
    fit = L.Trainer(
        max_steps=run.steps, gradient_clip_val=CLIP, logger=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu" if run.device == "cpu" else "gpu", devices=1,
        num_sanity_val_steps=0, val_check_interval=run.evaluate, check_val_every_n_epoch=None,
        callbacks=[Recording(), saving, *([roam] if roam else [])],
    )  # fmt: skip
    record.model_is_built()
    fit.fit(
        module,
        DataLoader(run.rows(), run.size.batch, shuffle=True),
        DataLoader(run.rows(evaluation=True), run.size.batch),
        ckpt_path=str(run.folder / f"at-step={run.middle}.ckpt") if run.resumed else None,
    )
    return record.row(module, fit.optimizers[0], roam)
