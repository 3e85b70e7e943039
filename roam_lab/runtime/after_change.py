"""What becomes of a compiled step when something that it relies on has changed."""

from __future__ import annotations

from typing import Any

from roam_lab.capture.inputs import batch_leaves
from roam_lab.runtime.changes import Change
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.compiled_steps import CompiledSteps
from roam_lab.runtime.reasons import Reason
from roam_lab.runtime.step_compiler import Key, StepCompiler
from roam_lab.runtime.ways import MOST_REMEMBERED


class AfterChange:
    """Of anything that guards have noticed, capture tells once whether it matters at all. A tensor that was replaced,
    and with `replan` whatever else changes, is captured again; a number that the user changes becomes an input."""

    def __init__(self, compiler: StepCompiler, compiled: CompiledSteps, replan: bool) -> None:
        self._compiler, self._compiled, self._replan = compiler, compiled, replan
        self._looked_at: set[tuple[Key, str]] = set()

    def keep(
        self, compiled: Compiled, key: Key, change: Change, batch: Any
    ) -> tuple[Compiled | None, Reason | None]:  # fmt: skip
        """The compiled step, where it is still right; a reason to run eagerly; or neither: make another."""
        if change.kind == "way":
            return None, None
        if change.kind in ("guard", "batch") and (key, change.path) not in self._looked_at:
            if len(self._looked_at) >= MOST_REMEMBERED:
                self._looked_at.clear()
            self._looked_at.add((key, change.path))
            if self._compiler.is_still(compiled, batch):
                compiled.reliance.forget(change)
                again = compiled.reliance.change(batch_leaves(batch))  # one thing may have changed, and another with it
                return (compiled, None) if again is None else self.keep(compiled, key, again, batch)
        if change.kind == "batch":
            return None, None
        if self._replan or change.kind == "resident":
            self._compiled.drop(key)
            return None, None
        if change.kind == "guard" and self._compiler.follow(change.path):
            self._compiled.drop(key)  # a number that the user changes between steps (a loss weight) is an input now
            return None, None
        if change.kind == "guard":
            return compiled, Reason(f"{change.path} has changed since the step was captured", change.sentence)
        return compiled, Reason(change.sentence)
