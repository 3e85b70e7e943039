"""Plans that were made elsewhere run where the planner's packages are not installed."""

import subprocess
import sys

import torch
from torch import nn

import roam_lab as roam

MISSING = ("bokeh", "highspy", "IPython", "ipywidgets", "loky", "numba", "ortools", "psutil", "pulp", "rich")
RUN = f"""
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
import torch
from torch import nn
import roam_lab as roam

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 4))
optimizer = torch.optim.AdamW(model.parameters())
batch, loss = (torch.randn(8, 16), torch.randint(0, 4, (8,))), nn.CrossEntropyLoss()
step = roam.hook(sys.argv[1], model, optimizer, loss=loss, on_mismatch="error")
step(batch)
print(step.planned_steps, roam.verify(sys.argv[1], model, optimizer, batch, loss=loss, steps=2).identical)
try:
    roam.profile(model, batch, optimizer, loss=loss, fake=True).plan()
except ModuleNotFoundError as error:
    print(error.name in {MISSING})
"""


def test_a_carried_plan_is_hooked_and_verified(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 4))
    batch = torch.randn(8, 16), torch.randint(0, 4, (8,))
    profile = roam.profile(model, batch, torch.optim.AdamW(model.parameters()), loss=nn.CrossEntropyLoss(), fake=True)
    plan = tmp_path / "p.roam.json"
    profile.plan().save(plan)
    done = subprocess.run([sys.executable, "-c", RUN, str(plan)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1", "True", "True"], done.stderr  # the last: they really are missing
