"""A training loop of Accelerate with planned steps. The lines marked + are not in the plain script.

python examples/accelerate_script.py
"""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import roam_lab as roam  # +

accelerator = Accelerator(cpu=True, mixed_precision="bf16")


def train_step(model, optimizer, batch):
    """One step: the loss."""
    inputs, labels = batch
    with accelerator.accumulate(model):
        loss = nn.functional.cross_entropy(model(inputs), labels)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return loss.detach()


def main():
    """Train for three epochs; returns the last loss."""
    set_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 18)
    loader = DataLoader(TensorDataset(torch.randn(96, 16), torch.randint(0, 4, (96,))), 16, shuffle=True)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
    step = roam.hook(model, optimizer, step=train_step)  # +
    for epoch in range(3):
        for batch in loader:
            loss = step(batch)  # + in place of: loss = train_step(model, optimizer, batch)
            scheduler.step()
        print(f"epoch {epoch}: {loss.item()!r}")
    return loss.item()


if __name__ == "__main__":
    main()
