"""The same Lightning script with and without planned steps, and everything that it leaves, compared bit for bit."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

L = pytest.importorskip("lightning.pytorch")

from roam_lab.errors import RoamWarning  # noqa: E402
from roam_lab.integrations.lightning import RoamCallback  # noqa: E402

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
QUIET = {
    "max_epochs": 2, "accelerator": "cpu", "logger": False, "enable_checkpointing": False,
    "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 1,
}  # fmt: skip


class Net(L.LightningModule):
    """Dropout, batch norm, logs of the step and of the epoch, validation; notes what hooks after the step see."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.Dropout(0.2), nn.GELU(), nn.Linear(32, 4))
        self.seen = []

    def loss(self, batch):
        inputs, labels = batch
        return nn.functional.cross_entropy(self.net(inputs), labels)

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val", self.loss(batch))

    def on_train_batch_end(self, outputs, batch, batch_idx):
        metrics = {name: value.item() for name, value in self.trainer.callback_metrics.items()}
        self.seen.append((outputs["loss"].item() if outputs else None, metrics))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def rows(count=40):
    """`count` samples; 8 are a batch."""
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(count, 8, generator=generator), torch.randint(0, 4, (count,), generator=generator))


def fit(kind, callbacks, data=None, ckpt_path=None, **options):
    """Train a fresh `kind`; returns it and its trainer."""
    L.seed_everything(0, verbose=False)
    module = kind()
    data = rows() if data is None else data
    trainer = L.Trainer(callbacks=callbacks, **{**QUIET, **options})
    trainer.fit(module, DataLoader(data, 8, shuffle=True), DataLoader(data, 8), ckpt_path=ckpt_path)
    return module, trainer


def left_by(module, trainer):
    """Everything that a training leaves, by name."""
    states = [entry for optimizer in trainer.optimizers for entry in optimizer.state.values()]
    return {
        "state": [*module.state_dict().values(), *(value for entry in states for value in entry.values())],
        "seen": module.seen,
        "loops": str(trainer.fit_loop.state_dict()),
        "random": [torch.get_rng_state()],
        "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
    }


def same(one, other):
    """Whether two nests hold the same, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or repr(one) == repr(other)


def both(kind, callbacks=list, settings=None, **options):
    """Train without and with RoamCallback, compare everything, and return the callback and its warnings."""
    eager = left_by(*fit(kind, callbacks(), **options))
    roam = RoamCallback(**(settings or {}))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        planned = left_by(*fit(kind, [*callbacks(), roam], **options))
    for name in eager:
        assert same(eager[name], planned[name]), f"{name} differs: {eager[name]} and {planned[name]}"
    return roam, [str(one.message) for one in found if issubclass(one.category, RoamWarning)]


def counts(roam):
    """(planned steps, eager steps)."""
    return roam.planned_steps, roam.eager_steps
