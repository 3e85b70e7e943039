"""`roam fit`: what fits, as JSON and as exit status, and models that need no weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roam_lab.cli import main

FACTORY = """
import torch

RAN = []

def make():
    RAN.append(1)
    model = torch.nn.Sequential(torch.nn.Linear(8, 2**17), torch.nn.ReLU(), torch.nn.Linear(2**17, 2))
    batch = (torch.randn(4, 8), torch.randint(0, 2, (4,)))
    return {"model": model, "optimizer": torch.optim.AdamW(model.parameters()), "batch": batch, "loss": loss}

def loss(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])

def large():
    huge = torch.nn.Linear(1_000_000, 1_000_000)
    optimizer = torch.optim.SGD(huge.parameters())
    return {"model": huge, "optimizer": optimizer, "batch": torch.zeros(2, 1_000_000), "loss": lambda m, x: m(x).sum()}

def valued():
    made = make()
    if made["batch"][1].max().item() > 5:
        raise ValueError("no such class")
    return {**made, "loss": lambda model, batch: loss(model, batch) * (2 if batch[1].max() < 5 else 1)}
"""


@pytest.fixture
def factory(tmp_path: Path) -> Path:
    path = tmp_path / "made_to_fit.py"
    path.write_text(FACTORY)
    return path


def test_json_of_a_memory(capsys: pytest.CaptureFixture[str], factory: Path) -> None:
    assert main(["fit", f"{factory}:make", "--memory", "1100MiB", "--extra-time", "0.2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["name"], data["memory_bytes"]) == ("make", 1100 * 2**20)
    (along,) = data["sizes"]
    assert [(one["run"], one["allowed"]) for one in along["largest"]] == [
        ("eager", None),
        ("planned", 0.0),
        ("rewritten", 0.2),
    ]
    room = 1100 * 2**20 - data["overhead_bytes"]
    assert along["largest"][0]["size"] < along["largest"][1]["size"]
    for one in along["largest"]:
        assert {one["size"], one["size"] + 1} <= set(along["captured"])
        assert one["bytes"] <= room < one["next_bytes"]


def test_nothing_fits(capsys: pytest.CaptureFixture[str], factory: Path) -> None:
    """Weights of 3.6 TiB, never made."""
    assert main(["fit", f"{factory}:large", "--memory", "4GiB", "--extra-time", "0"]) == 1
    message = capsys.readouterr().err
    assert "large: nothing fits into 4294967296 bytes" in message
    assert "the least known to do for the step is" in message
    assert message.count("\n") == 1


def test_sizes_of_a_step_that_asks_for_values(capsys: pytest.CaptureFixture[str], factory: Path) -> None:
    words = ["fit", f"{factory}:valued", "--batch-sizes", "2,16", "--extra-time", "0.1", "--json"]
    assert main(words) == 0
    data = json.loads(capsys.readouterr().out)
    assert [point["batch"] for point in data["points"]] == [2, 16]
    assert data["devices"][0]["name"] == "this machine's RAM"
    assert [one["run"] for one in data["devices"][1]["largest"]] == ["eager", "planned", 0.1]
