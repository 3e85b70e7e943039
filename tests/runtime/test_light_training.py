"""A process that trains with a plan that was made before loads nothing that plans: that takes up to 100 MiB."""

import subprocess
import sys

import torch
from torch import nn

import roam_lab as roam

MODEL = "nn.Sequential(nn.Linear(8, 64), nn.GELU('tanh'), nn.LayerNorm(64), nn.Linear(64, 4000))"
SCRIPT = f"""
import sys
import torch
from torch import nn
import roam_lab as roam

model = {MODEL}
optimizer = torch.optim.AdamW(model.parameters())
batch = torch.randn(1500, 8), torch.randint(0, 4000, (1500,))
step = roam.hook(sys.argv[1], model, optimizer, nn.CrossEntropyLoss())
step(batch)
step(batch)
print(step.planned_steps, [name for name in ("numba", "ortools", "highspy", "pulp", "networkx") if name in sys.modules])
"""


def test_nothing_that_plans_is_loaded(tmp_path):
    model = eval(MODEL)
    batch = torch.randn(1500, 8), torch.randint(0, 4000, (1500,))
    plan = roam.profile(model, batch, torch.optim.AdamW(model.parameters()), nn.CrossEntropyLoss()).plan()
    assert {rewrite.kind for rewrite in plan.rewrites} >= {"in_place", "fuse"}  # what the loss makes lies in scratch
    plan.save(tmp_path / "p.roam.json")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "p.roam.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["2", "[]\n"]
