"""Trainings whose loop is written out: plain PyTorch and Accelerate."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

import roam_lab as roam
from benchmarks.integrations.setting import CLIP, LEARNING_RATE, Record, Run, script


@script
def plain(run: Run, record: Record) -> dict[str, Any]:
    """PyTorch alone: clipping and a schedule, a checkpoint that holds the random state, too."""

    def train_step(model: Any, optimizer: Any, batch: Any) -> Any:
        loss = model(**batch).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach(), norm

    model = run.model().to(run.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = LambdaLR(optimizer, run.rate)
    record.model_is_built()
    held_out = DataLoader(run.rows(evaluation=True), run.size.batch)
    file, done = run.folder / "checkpoint.pt", 0
    if run.resumed:
        saved = torch.load(file, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        torch.set_rng_state(saved["random"])
        done = saved["done"]
        del saved
    step = roam.hook(model, optimizer, step=train_step, check=run.check) if run.hooked else None
    while done < run.steps:
        order = torch.Generator().manual_seed(done // run.batches)
        loader = DataLoader(run.rows(), run.size.batch, shuffle=True, generator=order)
        for number, batch in enumerate(loader):
            if number < done % run.batches or done == run.steps:
                continue
            batch = {name: tensor.to(run.device) for name, tensor in batch.items()}
            record.begin()
            loss, norm = step(batch) if step else train_step(model, optimizer, batch)
            schedule.step()
            record.end()
            record.losses.append(loss.item())
            record.norms.append(norm.item())
            done += 1
            if done % run.evaluate == 0:
                record.evaluations.append(_evaluated(model, held_out))
            if done == run.middle and not run.resumed:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done}
                state |= {"schedule": schedule.state_dict(), "random": torch.get_rng_state()}
                torch.save(state, file.with_suffix(".new"))
                os.replace(file.with_suffix(".new"), file)
                del state
            if number == run.batches - 1:
                break
    return record.row(model, optimizer, step)


@script
def accelerate(run: Run, record: Record) -> dict[str, Any]:
    """Accelerate: its own state saved and loaded, batches skipped that were seen before."""
    from accelerate import Accelerator, DataLoaderConfiguration
    from accelerate.utils import set_seed

    accelerator = Accelerator(
        cpu=run.device == "cpu", dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True)
    )

    def train_step(model: Any, optimizer: Any, batch: Any) -> Any:
        loss = model(**batch).loss
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach(), norm

    set_seed(0)
    plain_model = run.model().train()
    optimizer = torch.optim.AdamW(plain_model.parameters(), lr=LEARNING_RATE)
    model, optimizer, loader, held_out, schedule = accelerator.prepare(
        plain_model, optimizer, DataLoader(run.rows(), run.size.batch, shuffle=True),
        DataLoader(run.rows(evaluation=True), run.size.batch), LambdaLR(optimizer, run.rate),
    )  # fmt: skip
    record.model_is_built()
    folder, done = str(run.folder / "checkpoint"), 0
    if run.resumed:
        accelerator.load_state(folder)
        done = run.middle
    step = roam.hook(model, optimizer, step=train_step, check=run.check) if run.hooked else None
    while done < run.steps:
        loader.set_epoch(done // run.batches)
        for batch in accelerator.skip_first_batches(loader, done % run.batches):
            record.begin()
            loss, norm = step(batch) if step else train_step(model, optimizer, batch)
            schedule.step()
            record.end()
            record.losses.append(loss.item())
            record.norms.append(norm.item())
            done += 1
            if done % run.evaluate == 0:
                record.evaluations.append(_evaluated(model, held_out))
            if done == run.middle and not run.resumed:
                accelerator.save_state(folder)
            if done == run.steps:
                break
    return record.row(model, optimizer.optimizer, step)


def _evaluated(model: torch.nn.Module, loader: Any) -> float:
    """The mean loss over batches that are not trained on."""
    model.eval()
    with torch.no_grad():
        device = next(model.parameters()).device
        losses = [model(**{name: one.to(device) for name, one in batch.items()}).loss.item() for batch in loader]
    model.train()
    return sum(losses) / len(losses)
