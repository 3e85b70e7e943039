"""Decides what to do with a compiled step when something that it relies on has changed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from roam_lab.capture.inputs import batch_leaves, with_leaves
from roam_lab.runtime.changes import Change
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.compiled_steps import CompiledSteps
from roam_lab.runtime.heap import collect
from roam_lab.runtime.reasons import Reason
from roam_lab.runtime.step_compiler import Key, StepCompiler
from roam_lab.runtime.unread import unread
from roam_lab.runtime.ways import MOST_REMEMBERED

MOST_VALUES = 5
"""For how many values of one Python object a fresh capture checks whether they lead to the same step."""


class AfterChange:
    """The decisions of one hook.

    When a guard reports a change, captures find out once whether the step reads the value at all; if not, it is never
    guarded again. A number that the step reads becomes an input. For another value a fresh capture finds out whether it
    leads to the same step, for MOST_VALUES values. True and False lead to two ways, which are both kept. Where a tensor
    was replaced, and with `replan` for any other change, the step is captured again.
    """

    def __init__(self, compiler: StepCompiler, compiled: CompiledSteps, replan: bool) -> None:
        self._compiler, self._compiled, self._replan = compiler, compiled, replan
        self._read: set[tuple[Key, str]] = set()
        self._values: Counter[tuple[Key, str]] = Counter()
        self._elsewhere: set[tuple[Key, str, bool]] = set()

    def keep(
        self, compiled: Compiled, key: Key, change: Change, batch: Any
    ) -> tuple[Compiled | None, Reason | None]:  # fmt: skip
        """(the compiled step, None) where it is still right; (None, reason) to run eagerly; (None, None) to capture the
        step again."""
        if change.kind in ("guard", "batch"):
            kept = self._forget_unread(compiled, key, batch)
            if kept is None:
                return compiled, None
            change = kept
        if change.kind == "way":
            return None, None
        if change.kind == "guard" and self._compiler.follow(change.path):
            self._compiled.drop(key)  # a number that the user changes between steps (a loss weight) is an input now
            return None, None
        switch = _truth_value(compiled, change, batch)
        if switch is not None and (key, change.path, switch) in self._elsewhere:
            return None, None
        if change.kind in ("guard", "batch") and self._values[key, change.path] < MOST_VALUES:
            self._values[key, change.path] += 1
            still = self._compiler.is_still(compiled, batch)
            collect()
            if still:
                compiled.reliance.accept(change, batch_leaves(batch))
                again = compiled.reliance.change(batch_leaves(batch))
                return (compiled, None) if again is None else self.keep(compiled, key, again, batch)
        if switch is not None:
            self._elsewhere.add((key, change.path, switch))
        if change.kind == "batch" or switch is not None:
            return None, None
        if self._replan or change.kind == "resident":
            self._compiled.drop(key)
            return None, None
        if change.kind == "guard":
            return compiled, Reason(f"{change.path} has changed since the step was captured", change.sentence)
        return compiled, Reason(change.sentence)

    def _forget_unread(self, compiled: Compiled, key: Key, batch: Any) -> Change | None:
        """Stop guarding all changed values that the step does not read. Returns the change that still keeps the step
        from running; None where there is none."""
        if len(self._read) >= MOST_REMEMBERED:
            self._read.clear()
            self._values.clear()
            self._elsewhere.clear()
        reliance, leaves = compiled.reliance, batch_leaves(batch)
        changed = [one for one in reliance.differing(leaves) if (key, one.path) not in self._read]
        self._read.update((key, one.path) for one in changed)
        step = self._compiler.training()
        for one in unread(step, changed, lambda: self._compiler.is_still(compiled, with_leaves(batch, leaves))):
            reliance.forget(one.path)
            if not one.path.isdigit():  # no leaf of a batch
                self._compiler.stored.unread(key, one.path)
        if changed:
            collect()
        return reliance.change(batch_leaves(batch))


def _truth_value(compiled: Compiled, change: Change, batch: Any) -> bool | None:
    """The new value of a guarded truth value (such as whether this step updates); None for any other change."""
    if change.kind != "guard":
        return None
    for one in compiled.reliance.differing(batch_leaves(batch)):
        value = one.container.entry(one.key) if one.path == change.path and not one.whole else None
        if isinstance(value, bool):
            return value
    return None
