"""Ops of a step captured on the CPU that may run as other kernels on CUDA, which save other tensors or take a
workspace."""

from __future__ import annotations

from collections.abc import Mapping

from roam_lab.ir import Graph, Op

KINDS = {
    "attention": ("aten._scaled_dot_product_", "aten._softmax"),
    "dropout": ("aten.bernoulli",),
    "convolutions": ("aten.convolution", "aten.mkldnn_convolution"),
    "batch norm": ("aten.native_batch_norm",),
    "recurrent layers": ("aten.mkldnn_rnn_layer",),
}
"""Beginning of an operator's name -> what to call it. On CUDA attention is one of several kernels, dropout saves a
mask, cuDNN takes a workspace and saves a reserve."""
UPDATES = "the optimizer's updates, one by one here and many in a call there"


def captured_on_cpu(graph: Graph, environment: Mapping[str, str]) -> str | None:
    """A sentence that names such ops; None for a graph that was captured on another device, or on an unknown one."""
    if environment.get("device", "").partition(":")[0] != "cpu":
        return None
    counts = {kind: sum(op.target.startswith(names) for op in graph.ops) for kind, names in KINDS.items()}
    counts[UPDATES] = sum(map(_one_by_one, graph.ops))
    named = [f"{kind} ({count:,} op{'s' if count > 1 else ''})" for kind, count in counts.items() if count]
    what = f", above all for {'; '.join(named)}" if named else ""
    return (
        f"This step was captured on the CPU: CUDA may choose other kernels, which keep other tensors and take other "
        f"workspace{what}. Profile on a machine with a GPU to be sure: roam profile --device cuda."
    )


def _one_by_one(op: Op) -> bool:
    return op.phase == "update" and not op.target.startswith(("aten._foreach_", "aten._fused_"))
