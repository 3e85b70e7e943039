"""Capture and planning on several ranks: each captures its own step, one plans for all whose step is the same."""

from __future__ import annotations

import weakref
from typing import Any

from roam_lab.capture import Captured
from roam_lab.capture.inputs import signatures_alike
from roam_lab.capture.stored.captures import Kept
from roam_lab.distributed import Ranks
from roam_lab.distributed.averaging import leaves_buffers_taken
from roam_lab.distributed.common import rank_dependent
from roam_lab.distributed.several import own_kinds
from roam_lab.errors import CaptureError, InfeasibleError, RoamError
from roam_lab.ir import fingerprint
from roam_lab.ir.op_log import OpLog
from roam_lab.plan import Plan
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.plans import Plans
from roam_lab.runtime.replicated.broadcast_plan import from_one
from roam_lab.runtime.self_check import Expected, Observed
from roam_lab.runtime.step_compiler import Key, StepCompiler
from roam_lab.runtime.stored_captures import StoredCaptures

_takes_buffers: weakref.WeakKeyDictionary[Compiled, bool] = weakref.WeakKeyDictionary()


class RankedCompiler(StepCompiler):
    """`compile` is called by all ranks together, or `stand_by` by those who have nothing to capture."""

    ranks: Ranks
    _asked = False

    def _captures_of(self, plans: Plans) -> StoredCaptures:
        if plans.captures_folder is not None:
            plans.notes.append("the capture is not kept for the next start: the model is on several ranks")
        return StoredCaptures(None, plans.notes)

    def compile(
        self, key: Key, batch: Any, expected: Expected | None, log: OpLog | None = None, kept: Kept | None = None,
        observed: Observed | None = None,
    ) -> Key:  # fmt: skip
        """As on one rank; where a plan is missing, one rank plans for all that captured the same."""
        self._asked = False
        try:
            way = super().compile(key, batch, expected, log, kept, observed)
            _takes_buffers[self._compiled[way]] = leaves_buffers_taken(self.training().model)
            return way
        finally:
            if not self._asked:
                self.stand_by()

    @staticmethod
    def takes_buffers(compiled: Compiled) -> bool:
        """Whether the wrapper's first forward pass after this step takes the first rank's buffers."""
        return _takes_buffers[compiled]

    def stand_by(self) -> None:
        """Hear who needs a plan, and need none."""
        self._plan_together(None)

    def _knows(self, key: Key) -> bool:
        """As on one rank, whether gradients and buffers are exchanged or not."""
        return any(signatures_alike(key[0], one[0]) and one[2:4] == key[2:4] for one in self._compiled)

    def _look_at(self, captured: Captured) -> None:
        module = captured.trace.module
        kinds = own_kinds(self.training().model)
        placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        inputs = zip(placeholders, captured.trace.inputs, strict=True)
        own = {node for node, found in inputs if found.kind in kinds}
        for placed in captured.conditions:
            condition = placed.condition
            from_batch = any(found.kind == "batch" for found in condition.settings)
            if placed.when == "inside" and (from_batch or rank_dependent(module, own, condition.nodes)):
                where = f"{condition.source}: " if condition.source else ""
                raise CaptureError(
                    f"{where}the step branches on a value that may differ from rank to rank, in the middle of what "
                    "they exchange; branch on a value that was averaged over the ranks, or train this step eagerly"
                )

    def _planned(self, captured: Captured) -> Plan:
        plan = self._plan_together(captured)
        return super()._planned(captured) if plan is None else self._plans.noted(plan, captured)

    def _plan_together(self, captured: Captured | None) -> Plan | None:
        """The plan that one rank makes for all that want one for the same graph; None where graphs differ."""
        self._asked = True
        wanted = self.ranks.gathered(None if captured is None else fingerprint(captured.graph))
        graphs = {one for one in wanted if one is not None}
        if len(graphs) != 1:
            return None
        first = next(rank for rank, one in enumerate(wanted) if one is not None)
        plan_here = super()._planned
        try:
            return from_one(self.ranks, first, lambda: None if captured is None else plan_here(captured))
        except RoamError as error:
            if captured is None:
                return None
            if isinstance(error, InfeasibleError):
                raise
            raise CaptureError(f"rank {first} could not plan this step: {error}") from None
