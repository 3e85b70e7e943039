"""A script as users write it: `torchrun --nproc_per_node 2 train.py [hooked]`. Prints what it leaves on each rank."""

import hashlib
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import roam_lab as roam


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.dropout, self.head = nn.Dropout(0.1), nn.Linear(8 * 64, 10)

    def forward(self, images):
        return self.head(self.dropout(torch.relu(self.norm(self.convolution(images))).flatten(1)))


def main(hooked):
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(120, 1, 8, 8), torch.randint(0, 10, (120,)))
    sampler = DistributedSampler(data)
    loader = DataLoader(data, batch_size=16, sampler=sampler)  # the last batch of an epoch is smaller
    model = DistributedDataParallel(Net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    criterion = nn.CrossEntropyLoss()

    def train_step(model, optimizer, batch):
        images, labels = batch
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = criterion(model(images), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    step = roam.hook(model, optimizer, step=train_step) if hooked else None
    losses = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        model.train()
        for batch in loader:
            losses.append(step(batch) if hooked else train_step(model, optimizer, batch))
            scheduler.step()
        model.eval()
        with torch.no_grad():
            losses.append(criterion(model(data[:50][0]), data[:50][1]).item())
    digest = hashlib.sha256(repr(losses).encode())
    for tensor in model.module.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    counts = (step.planned_steps, step.eager_steps) if hooked else (0, 0)
    sys.stdout.write(f"rank {dist.get_rank()} {digest.hexdigest()} {counts[0]} {counts[1]}\n")  # in one piece
    sys.stdout.flush()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1:] == ["hooked"])
