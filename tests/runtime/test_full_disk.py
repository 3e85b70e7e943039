"""A disk that is full while plans, captures and checkpoints are written, and losses that are no numbers: training goes
on, or ends, as the eager one does, and nothing half-written stays."""

import os
from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import as_step

resource = pytest.importorskip("resource")


@pytest.fixture(autouse=True)
def plans(monkeypatch, tmp_path):
    monkeypatch.setenv("ROAM_CACHE", str(tmp_path / "plans"))
    return tmp_path / "plans"


@contextmanager
def full_disk(most=200):
    """No file that this process writes can grow beyond `most` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mean_square(model, batch):
    return model(batch).square().mean()


class Script:
    """Training with a checkpoint after every second step."""

    def __init__(self, hooked):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 2))
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        step = as_step(mean_square)
        self.hook = roam.hook(self.model, self.optimizer, loss=mean_square) if hooked else None
        self.step = self.hook or (lambda batch: step(self.model, self.optimizer, batch))
        self.losses = []

    def save(self, folder):
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "losses": self.losses}
        torch.save({**state, "random": torch.get_rng_state()}, folder / "new.pt")
        os.replace(folder / "new.pt", folder / "checkpoint.pt")

    def load(self, folder):
        saved = torch.load(folder / "checkpoint.pt", weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.losses = saved["losses"]
        torch.set_rng_state(saved["random"])

    def run(self, folder, full_at=None, goes_on=False, poison=()):
        """To the sixth step; the disk is full from step `full_at` to the next. Returns the error of a checkpoint."""
        for number in range(len(self.losses), 6):
            batch = torch.randn(4, 8, generator=torch.Generator().manual_seed(number))
            batch[0, 0] = float("inf") if number in poison else batch[0, 0]
            with full_disk() if number == full_at else nullcontext():
                self.losses.append(float(self.step(batch)))
                if number % 2:
                    try:
                        self.save(folder)
                    except (OSError, RuntimeError) as error:
                        if not goes_on:
                            return error
        return None

    def left(self):
        """Bits of all that the training leaves."""
        state = [value for entry in self.optimizer.state.values() for value in entry.values()]
        tensors = [*self.model.state_dict().values(), *state, torch.tensor(self.losses, dtype=torch.float64)]
        return [tensor.numpy().tobytes() for tensor in (*tensors, torch.get_rng_state())]


def test_plans_and_captures_that_cannot_be_written(plans, tmp_path):
    eager, script = Script(False), Script(True)
    for folder in ("eager", "hooked"):
        (tmp_path / folder).mkdir()
    eager.run(tmp_path / "eager", full_at=0)
    script = Script(True)
    script.run(tmp_path / "hooked", full_at=0)
    assert script.left() == eager.left()
    assert script.hook.planned_steps == 6, script.hook.reasons
    found = [note for note in script.hook.notes if "File too large" in note]
    assert {note.partition(" is not kept")[0] for note in found} == {"the plan", "the capture"}
    assert [path for path in plans.rglob("*") if path.is_file()] == []
    again = Script(True)
    again.run(tmp_path / "hooked")
    assert again.hook.notes == []
    assert len([path for path in plans.rglob("*") if path.is_file()]) == 2


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_checkpoint_that_cannot_be_written(tmp_path, goes_on):
    found = []
    for hooked in (False, True):
        folder = tmp_path / str(hooked)
        folder.mkdir()
        script = Script(hooked)
        error = script.run(folder, full_at=3, goes_on=goes_on)
        assert (error is None) == goes_on
        kept = torch.load(folder / "checkpoint.pt", weights_only=True)["losses"]
        found.append([type(error), script.left(), kept, sorted(os.listdir(folder))])
        assert len(kept) == (6 if goes_on else 2)
        again = Script(hooked)
        again.load(folder)
        again.run(folder)
        found[-1].append(again.left())
    assert found[0] == found[1]
    whole = Script(False)
    whole.run(tmp_path)
    assert found[1][-1] == whole.left()


def test_losses_that_are_no_numbers(tmp_path):
    left = []
    for hooked in (False, True):
        script = Script(hooked)
        script.run(tmp_path, poison=(2,))
        left.append(script.left())
        assert script.losses[3] != script.losses[3]
    assert left[0] == left[1]
    assert script.hook.planned_steps == 6, script.hook.reasons
