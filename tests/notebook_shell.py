"""A real IPython shell with the extension loaded, a small model, and cells that are run in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import CapturedIO, capture_output

SETUP = """
import torch
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
batch = (torch.randn(4, 8), torch.randint(0, 2, (4,)))
optimizer = torch.optim.AdamW(model.parameters())
criterion = torch.nn.CrossEntropyLoss()
def train_step(model, optimizer, batch):
    loss = criterion(model(batch[0]), batch[1])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss
"""
PROFILE = "%roam profile model batch --optimizer optimizer --loss criterion --name small"


@contextmanager
def open_shell() -> Iterator[InteractiveShell]:
    """A shell of its own, in which SETUP has run."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_cell("%load_ext roam_lab")
    shell.run_cell(SETUP).raise_error()
    try:
        yield shell
    finally:
        InteractiveShell.clear_instance()


def cell(shell: Any, text: str) -> CapturedIO:
    """Run a cell; what it displayed, printed and complained of. It never raises."""
    with capture_output() as caught:
        shell.run_cell(text).raise_error()
    assert "Traceback" not in caught.stdout + caught.stderr
    return caught
