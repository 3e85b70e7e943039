"""Stage 8: the training scripts of benchmarks/integrations on the device, eager and hooked: one library a cell.

Algorithms are deterministic where torch has such, so that eager is equal to itself and bits can be compared.
"""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NotPossible, identical, peaks, start_measuring

PACKAGES = {"plain": ("transformers",), "trainer": ("transformers", "accelerate"),
            "accelerate": ("transformers", "accelerate"), "lightning": ("transformers", "lightning")}  # fmt: skip


def run(cell: Cell) -> None:
    """Parts: eager, hooked; the second one says whether both are the same."""
    library = cell.settings["library"]
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    rows: dict[str, dict[str, Any]] = {}
    for mode in ("eager", "hooked"):
        with cell.part(mode) as line:
            if missing := [name for name in PACKAGES[library] if find_spec(name) is None]:
                raise NotPossible(f"{missing[0]} is not installed here")
            rows[mode] = row = _trained(cell, library, mode == "hooked")
            line |= peaks()
            kept = ("planned_steps", "eager_steps", "reasons", "median_step_seconds", "first_step_seconds")
            line |= {key: row[key] for key in kept}
            if mode == "hooked" and "eager" in rows:
                from benchmarks.integrations.results import COMPARED

                line |= identical(lambda: all(repr(rows["eager"][key]) == repr(row[key]) for key in COMPARED))  # noqa: B023
                line["status"] = "differs" if line["identical"] is False else "done"


def _trained(cell: Cell, library: str, hooked: bool) -> dict[str, Any]:
    from benchmarks.integrations import loops, trainers  # noqa: F401  # they register themselves
    from benchmarks.integrations.setting import SCRIPTS, SIZES, Record, Run

    with tempfile.TemporaryDirectory(dir=cell.work) as folder:
        os.environ["ROAM_CACHE"] = f"{folder}/plans"
        steps = cell.settings["steps"]
        run = Run(library, hooked, SIZES[cell.settings["size"]], steps, steps // 2, Path(folder), device="cuda",
                  check="never" if cell.fake else "first")  # fmt: skip
        start_measuring()
        return SCRIPTS[library](run, Record())
