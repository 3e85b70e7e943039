"""ResNet-50 (He et al., arXiv 1512.03385) on random images: convolutions, and buffers that BatchNorm updates in place.

roam verify examples/resnet50.py:factory_batch8
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, blocks and first stride of each stage."""
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut; the stride lies in the 3x3 (as in torchvision)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.end = nn.ReLU(inplace=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.end(self.body(images) + self.shortcut(images))


class ResNet50(nn.Module):
    """25.6 million parameters for 1,000 classes of 224 x 224 images."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
        )
        blocks: list[nn.Module] = []
        channels = 64
        for width, count, stride in STAGES:
            for number in range(count):
                blocks.append(Bottleneck(channels, width, stride if number == 0 else 1))
                channels = width * EXPANSION
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))


def factory_batch1() -> dict[str, Any]:
    """One image."""
    return _training(1)


def factory_batch8() -> dict[str, Any]:
    """Eight images: activations decide."""
    return _training(8)


def _training(batch: int) -> dict[str, Any]:
    model = ResNet50().train()
    return {
        "model": model,
        "optimizer": torch.optim.AdamW(model.parameters()),
        "batch": (torch.randn(batch, 3, 224, 224), torch.randint(0, 1000, (batch,))),
        "loss": nn.CrossEntropyLoss(),
    }
