"""A Lightning script with planned steps. What it takes are two lines; those marked + are not in the plain script.

python examples/lightning_script.py
"""

import lightning as L  # noqa: N812
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from roam_lab.integrations.lightning import RoamCallback  # +


class Classifier(L.LightningModule):
    """A small network with dropout."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 4))

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = nn.functional.cross_entropy(self.net(inputs), labels)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)]


def main():
    """Train for three epochs; returns the mean loss of the last one."""
    L.seed_everything(0)
    loader = DataLoader(TensorDataset(torch.randn(96, 16), torch.randint(0, 4, (96,))), 16, shuffle=True)
    trainer = L.Trainer(
        max_epochs=3,
        gradient_clip_val=1.0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=[RoamCallback()],  # +
    )
    trainer.fit(Classifier(), loader)
    loss = trainer.callback_metrics["loss_epoch"].item()
    print(f"loss of the last epoch: {loss!r}")
    return loss


if __name__ == "__main__":
    main()
