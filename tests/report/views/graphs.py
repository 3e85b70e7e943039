"""Small training steps with phases, modules and kinds, and larger made-up ones, for views, figures and pictures."""

from __future__ import annotations

from itertools import accumulate, pairwise

from roam_lab.ir import Graph, Op, Storage
from roam_lab.order.tasks import Task
from roam_lab.plan import Plan
from tests.plan.graphs import captured_plan

KIB = 1024
HOSTILE = '</script><script>document.title="owned"</script><b>$$x^2$$'
"""A name as a hostile file would give it."""


def blocks(count: int, width: int = 4, name: str = "blocks", hostile: bool = False) -> Graph:
    """`count` repeated modules `net.h.N`, each with `width` forward ops in two children, then backward, then an update
    op a block that touches its block's gradient. Every forward op's storage is kept for its backward op."""
    storages: list[Storage] = []
    ops: list[Op] = []

    def add(target: str, phase: str, module: str, size: int, kind: str, after: list[int], touches: list[int]) -> int:
        storages.append(Storage(size, kind=kind))
        said = f"{HOSTILE}_{len(ops)}" if hostile else f"op_{len(ops)}"
        source = HOSTILE if hostile else f"model.py:{len(module)}"
        place = Op(said, target, tuple(after), (len(storages) - 1,), tuple(touches), phase, module, source)
        ops.append(place)
        return len(ops) - 1

    chain: list[int] = []
    names = [f"net.h.{HOSTILE.replace('.', '')}{block}" if hostile else f"net.h.{block}" for block in range(count)]
    for block in range(count):
        for part in range(width):
            child = "attn" if part < width // 2 else "mlp"
            before = chain[-1:]
            chain.append(
                add(
                    "aten.mm.default",
                    "forward",
                    f"{names[block]}.{child}",
                    KIB * (1 + part),
                    "activation",
                    before,
                    before,
                )
            )
    loss = add("aten.nll_loss.default", "forward", "", 4, "output", chain[-1:], chain[-1:])
    last, gradients = loss, []
    for position in reversed(range(len(chain))):
        block, part = divmod(position, width)
        kind = "gradient" if part == 0 else "temporary"
        last = add("aten.mm_backward.default", "backward", ops[chain[position]].module or "", 2 * KIB, kind,
                   sorted({last, chain[position]}), sorted({last, chain[position]}))  # fmt: skip
        if part == 0:
            gradients.append(last)
    for gradient in gradients:
        add("aten.add_.Tensor", "update", "", 3 * KIB, "temporary", [gradient], [gradient])
    return Graph(name, tuple(storages), tuple(ops), unlisted_resident_bytes=100 * KIB)


def bare_of_places(graph: Graph) -> Graph:
    """The same without phases, modules, sources and kinds, as graphs of other tools are."""
    ops = tuple(Op(op.name, op.target, op.after, op.creates, op.reads) for op in graph.ops)
    storages = tuple(Storage(storage.bytes, storage.output) for storage in graph.storages)
    return Graph(graph.name, storages, ops, graph.unlisted_resident_bytes)


def scalars(count: int) -> Graph:
    """Two ops that make something, and `count` between them that move four bytes."""
    storages = [Storage(KIB, kind="activation")] + [Storage(4) for _ in range(count)] + [Storage(KIB)]
    ops = [Op("first", "t", (), (0,))]
    ops += [Op(f"scalar_{n}", "t", (), (n + 1,)) for n in range(count)]
    ops.append(Op("last", "t", (0,), (count + 1,), (0,)))
    return Graph("scalars", tuple(storages), tuple(ops))


def tree_of(order: tuple[int, ...], leaves: int = 4) -> Task:
    """A step of two segments with their leaves, over all ops of `order`."""
    cuts = [len(order) * number // leaves for number in range(leaves + 1)]
    statuses = ("optimal", "feasible", "timed out")
    made = [
        Task("leaf", order[a:b], 1000 * (b - a), statuses[number % 3], "ilp" if number % 2 else "bound", 0.25)
        for number, (a, b) in enumerate(pairwise(cuts))
    ]
    half = leaves // 2
    segments = tuple(
        Task(
            "segment",
            tuple(op for leaf in part for op in leaf.ops),
            5000,
            "feasible",
            pair=number,
            children=tuple(part),
        )
        for number, part in enumerate((made[:half], made[half:]))
    )
    return Task("step", order, 9000, "feasible", children=segments)


def stacked_plan(graph: Graph) -> Plan:
    """The captured order, every storage above the one before it: a plan of a long step that takes no time to make."""
    tops = [0, *accumulate(storage.bytes for storage in graph.storages)]
    offsets = {number: tops[number] for number, storage in enumerate(graph.storages) if storage.bytes}
    return captured_plan(graph, offsets, tops[-1])
