"""`roam profile --device cuda` where there is a device."""

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.cli import main
from roam_lab.errors import InputError

TRAIN = """
import torch

def make():
    model = torch.nn.Linear(8, 4)
    batch = (torch.randn(2, 8), torch.randint(0, 4, (2,)))
    optimizer = torch.optim.AdamW(model.parameters())
    return {"model": model, "optimizer": optimizer, "batch": batch, "loss": torch.nn.CrossEntropyLoss()}
"""


@pytest.mark.parametrize("more", [[], ["--fake"]])
def test_what_a_factory_makes_is_captured_on_cuda(tmp_path, capsys, more):
    (tmp_path / "train.py").write_text(TRAIN)
    graph = tmp_path / "g.json"
    assert main(["profile", f"{tmp_path}/train.py:make", "--device", "cuda", "-o", str(graph), *more]) == 0
    assert "resident" in capsys.readouterr().out
    assert '"device": "cuda"' in graph.read_text().replace('"device":"cuda"', '"device": "cuda"')


def test_a_model_elsewhere_is_not_moved():
    model = nn.Linear(8, 4)
    with pytest.raises(InputError, match="the model lies on cpu, not on cuda; move it there"):
        roam.profile(model, torch.randn(2, 8), loss=lambda model, x: model(x).sum(), device="cuda")
    assert next(model.parameters()).device.type == "cpu"
