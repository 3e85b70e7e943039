"""Checks that a plan is for this model, and that its rewrites are of this captured step."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest

import torch

from roam_lab.capture import Captured, step_device
from roam_lab.capture.inputs import model_digest
from roam_lab.errors import JudgementError, MismatchError
from roam_lab.ir import Graph, check_rewritten
from roam_lab.plan import Plan
from roam_lab.plan.planner import ALIGNMENTS
from roam_lab.runtime.doing import check_runs


def check_plan(captured: Captured, plan: Plan) -> None:
    """Raise MismatchError unless the plan's rewritten graph does what the captured step does, and can be run."""
    if not plan.rewrites:
        return
    if plan.rewritten is None:
        raise MismatchError("a bare plan does not hold the graph that its rewrites made; save it whole")
    try:
        check_rewritten(_with_residents_of(captured.graph, plan.rewritten.graph), plan.rewritten, plan.order)
        check_runs(captured, plan.rewritten)
    except JudgementError as error:
        raise MismatchError(f"the plan's rewrites are not this step: {error}; plan it again") from None


def check_fits(plan: Plan, model: torch.nn.Module, replan: bool) -> None:
    """Raise MismatchError where a plan is for another model, or its addresses are not aligned as this device needs.
    `replan`: batches that the plan is not for will be planned."""
    alignment = ALIGNMENTS.get(step_device(model).type, 1)
    if any(offset % alignment for offset in plan.offsets.values()):
        raise MismatchError(
            f"the plan places tensors at addresses that are no multiples of {alignment} bytes, where some ops round "
            "otherwise than eagerly; plan with the default alignment"
        )
    made_for = plan.environment.get("model")
    if made_for is not None and made_for != model_digest(model) and not replan:
        raise MismatchError(
            f"the plan was made for another model than this {type(model).__name__} (its parameters or buffers differ); "
            "profile and plan this model"
        )


def _with_residents_of(graph: Graph, planned: Graph) -> Graph:
    """`graph` with the residents' sizes of the planned graph: a batch may be a view of something larger."""
    pairs = zip_longest(graph.storages, planned.storages[: len(graph.storages)])
    storages = (
        replace(own, bytes=other.bytes) if other and own.region == other.region == "resident" else own
        for own, other in pairs
    )
    return replace(graph, storages=tuple(storages))
