"""The graphs that budgets are compared on: ../shared/graphs2, and two of them with attention that can be repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from roam_lab.ir import Graph, load_graph

NAMES = {
    "gpt2_seq128_batch32": "GPT-2, seq 128, batch 32",
    "bert_base_seq128_batch32": "BERT base, seq 128, batch 32",
    "vit_b16_batch32": "ViT-B/16, batch 32",
    "vit_b16_batch32_repeatable": "ViT-B/16, batch 32, attention repeatable",
    "resnet50_batch32": "ResNet-50, batch 32",
    "llama160m_seq1024_batch8": "Llama 160M, seq 1024, batch 8",
    "llama160m_seq1024_batch8_repeatable": "Llama 160M, seq 1024, batch 8, attention repeatable",
    "gpt2_seq1024_batch8": "GPT-2, seq 1024, batch 8",
}
_REPEATABLE = "_repeatable"


def file_of(name: str) -> str:
    """The name of the graph's file, without its ending; rivals are costed on that."""
    return name.removesuffix(_REPEATABLE)


def graph_of(name: str, shared: Path) -> Graph:
    """A graph by its key in NAMES.

    The files say of attention that it draws random numbers, whatever its dropout. Without dropout, as in these two
    models, it draws none, and capture says so by now: a repeatable graph is the file's with that put right.
    """
    graph = load_graph(shared / f"{file_of(name)}.json.gz")
    if name == file_of(name):
        return graph
    ops = (
        replace(op, pure=True, random=None) if op.target.startswith("aten._scaled_dot_product") else op
        for op in graph.ops
    )
    return replace(graph, ops=tuple(ops))
