"""Everything that the stages import, imported once: their processes are forked from the one that has done so."""

import importlib
from pathlib import Path

STAGES = sorted(path.stem for path in (Path(__file__).parent / "stages").glob("[a-z]*.py"))
LATE = (
    *(f"transformers.models.{name}.modeling_{name}" for name in ("bert", "gpt2", "llama", "vit")),
    *(f"roam_lab.{name}" for name in ("capture.captured", "plan.planner", "runtime.step_compiler")),
)
"""What is imported on first use otherwise."""

for _name in (*LATE, *(f"benchmarks.cuda.stages.{stage}" for stage in STAGES)):
    importlib.import_module(_name)
