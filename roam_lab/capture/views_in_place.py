"""Ops that change a tensor's shape or strides in place (`transpose_`, `unsqueeze_`), replaced by views.

A program makes its views of the arena once and uses them in each step: an op that changed one in place would change it
again in the next step.
"""

from __future__ import annotations

from functools import cache
from typing import cast

import torch
from torch.fx import GraphModule

from roam_lab.capture.torch_internals import OpOverload
from roam_lab.errors import CaptureError


def views_under_new_names(module: GraphModule) -> None:
    """Replace each such op by the op that returns the same view. (Later nodes use its result already.)

    Raises CaptureError for an op on a tensor that stays after the step, such as a parameter or the batch.
    """
    for node in module.graph.nodes:
        if not isinstance(node.target, OpOverload) or torch.Tag.inplace_view not in node.target.tags:
            continue
        view = view_of(node.target)
        if view is None or node.args[0].op == "placeholder":
            where = f"{node.meta['roam'].source}: " if node.meta["roam"].source else ""
            name = node.target._schema.name.removeprefix("aten::")
            raise CaptureError(
                f"{where}{name} changes the shape or the memory of a tensor that stays after the step, which a planned "
                f"step would not do again; use {name.rstrip('_')}, which returns another tensor"
            )
        node.target = view


@cache
def view_of(op: OpOverload) -> OpOverload | None:
    """The op that returns as a view what `op` makes of its argument in place; None where there is none (`resize_`)."""
    packet = getattr(torch.ops.aten, op._schema.name.removeprefix("aten::").rstrip("_"), None)
    wanted = [(argument.name, str(argument.type)) for argument in op._schema.arguments]
    for name in packet.overloads() if packet is not None else ():
        found = cast(OpOverload, getattr(packet, name))
        given = [(argument.name, str(argument.type)) for argument in found._schema.arguments]
        if given == wanted and any(one.alias_info is not None for one in found._schema.returns):
            return found
    return None
