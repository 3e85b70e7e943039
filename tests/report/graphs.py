"""Small graphs whose figures can be checked in the head."""

from dataclasses import replace

from roam_lab.ir import Graph, Op, Storage

KIB = 1024


def branches() -> Graph:
    """Captured, both wide ops come first: 4 + 100 + 100 KiB. Finishing one branch before the other saves almost half.

    source -> wide_a -> narrow_a -+
           -> wide_b -> narrow_b -+-> join
    """
    storages = (
        Storage(4 * KIB, kind="activation", dtype="float32"),
        Storage(100 * KIB, kind="activation"),
        Storage(100 * KIB, kind="gradient"),
        Storage(1 * KIB),
        Storage(1 * KIB),
        Storage(1 * KIB, output=True, kind="output"),
    )
    ops = (
        Op("source", "aten.mul.Tensor", (), (0,), (), phase="forward"),
        Op("wide_a", "aten.mm.default", (0,), (1,), (0,), phase="forward", module="block.0", source="train.py:10"),
        Op("wide_b", "aten.mm.default", (0,), (2,), (0,), phase="forward", module="<b>&", source="train.py:11"),
        Op("narrow_a", "aten.sum.default", (1,), (3,), (1,)),
        Op("narrow_b", "aten.sum.default", (2,), (4,), (2,)),
        Op("join", "aten.add.Tensor", (3, 4), (5,), (3, 4)),
    )
    return Graph("branches", storages, ops, unlisted_resident_bytes=10 * KIB)


def eager_branches() -> Graph:
    """The same as eager runs it: 50 KiB more while `wide_b` runs."""
    graph = branches()
    ops = list(graph.ops)
    ops[2] = replace(ops[2], creates=(2, 6))
    return replace(graph, storages=(*graph.storages, Storage(50 * KIB, kind="gradient")), ops=tuple(ops))


def chain(count: int) -> Graph:
    """`count` ops in a row, each creating what the next one reads: no order can gain anything."""
    storages = tuple(Storage(KIB + index % 7) for index in range(count))
    ops = tuple(
        Op(f"op_{index}", "aten.relu.default", (index - 1,) if index else (), (index,), (index - 1,) if index else ())
        for index in range(count)
    )
    return Graph("chain", storages, ops)
