"""Training loops of other libraries on the fake device: their steps are planned, and lie where the plan says."""

import pytest
import torch

from tests.fake_cuda.device_counts import counted

pytest.importorskip("transformers")
from benchmarks.integrations import loops, trainers  # noqa: F401  # they register themselves
from benchmarks.integrations.setting import SCRIPTS, SIZES, Record, Run

STEPS = 8


class Watching(Record):
    """Of each step: calls of cudaMalloc, and by how much the allocator's memory grew in it at most."""

    def __init__(self):
        super().__init__()
        self.mallocs, self.grown = [], []

    def begin(self):
        torch.cuda.reset_peak_memory_stats()
        self._held = torch.cuda.memory_allocated()
        self._counting = counted()
        self._found = self._counting.__enter__()
        super().begin()

    def end(self):
        super().end()
        self._counting.__exit__(None, None, None)
        self.mallocs.append(self._found.mallocs)
        self.grown.append(torch.cuda.max_memory_allocated() - self._held)


def trained(library, folder, hooked, resumed=False):
    """Numbers mean nothing on this device, so that no bits are compared."""
    seen = Watching()
    run = Run(library, hooked, SIZES["tiny"], STEPS, 4, folder, resumed=resumed, device="cuda", check="never")
    return SCRIPTS[library](run, seen), seen


@pytest.mark.parametrize("library", ["plain", "accelerate", "trainer", "lightning"])
def test_steps_of_a_library(library, tmp_path, monkeypatch):
    if library not in ("plain", "trainer"):
        pytest.importorskip(library)
    if library == "trainer":
        pytest.importorskip("accelerate")
    monkeypatch.setenv("ROAM_CACHE", str(tmp_path / "plans"))
    (tmp_path / "eager").mkdir()
    _, eagerly = trained(library, tmp_path / "eager", hooked=False)
    row, seen = trained(library, tmp_path, hooked=True)
    assert len(row["losses"]) == STEPS
    assert row["planned_steps"] >= STEPS - 2, row["reasons"]
    assert seen.mallocs[-2:] == [0, 0]
    assert seen.grown[-1] < eagerly.grown[-1]  # what a step makes lies in the arena, which is there before
    row, _ = trained(library, tmp_path, hooked=True, resumed=True)
    assert row["planned_steps"] >= STEPS // 2 - 1, row["reasons"]
