"""A folder with a factory and a module beside it, in which the tests of sweeps run."""

from __future__ import annotations

from pathlib import Path

import pytest

WIDTH = "WIDTH = 16\n"
FACTORY = """
import torch
from layers import WIDTH

def make():
    model = torch.nn.Sequential(torch.nn.Linear(8, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 2))
    batch = (torch.randn(4, 8), torch.randint(0, 2, (4,)))
    print("making")
    return {"model": model, "optimizer": torch.optim.AdamW(model.parameters()), "batch": batch, "loss": loss}

def loss(model, batch):
    rows = batch[0].shape[0]
    if rows == 5:
        raise ValueError("five rows are refused")
    if rows == 7:
        import os
        os._exit(3)
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])

def valued():
    made = make()
    if made["batch"][1].max().item() > 5:
        raise ValueError("no such class")
    return made

def tokens():
    model = torch.nn.Embedding(50, 8)
    optimizer = torch.optim.SGD(model.parameters())
    return {"model": model, "optimizer": optimizer, "batch": torch.zeros(2, 6, dtype=torch.int64),
            "loss": lambda model, batch: model(batch).square().mean()}
"""


def write_factory(folder: Path) -> None:
    """train.py and layers.py."""
    (folder / "train.py").write_text(FACTORY)
    (folder / "layers.py").write_text(WIDTH)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the factory in it."""
    monkeypatch.chdir(tmp_path)
    write_factory(tmp_path)
    return tmp_path
