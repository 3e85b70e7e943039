"""Small graphs for tests: crafted ones, random ones, and the best peak by trying every order."""

from __future__ import annotations

import random
from itertools import permutations

from roam_lab.ir import Graph, Op, Storage, captured_order, fingerprint, live_peak
from roam_lab.plan import Plan


def random_graph(seed: int, most_ops: int = 7, external: bool = False) -> Graph:
    """A legal graph of up to `most_ops` ops: every storage is created once, touched after, sometimes kept."""
    draw = random.Random(seed)
    storages: list[Storage] = []
    creator: list[int] = []
    ops: list[Op] = []
    for index in range(draw.randint(1, most_ops)):
        after = {before for before in range(index) if draw.random() < 0.25}
        reads = {storage for storage in range(len(storages)) if draw.random() < 0.3}
        after |= {creator[storage] for storage in reads}
        creates = []
        for _ in range(draw.choice((0, 1, 1, 2))):
            creates.append(len(storages))
            creator.append(index)
            storages.append(
                Storage(
                    draw.choice((0, 1, 10, 64, 100, 500)),
                    output=draw.random() < 0.15,
                    region="op" if external and draw.random() < 0.4 else "arena",
                )
            )
        ops.append(Op(f"op_{index}", "t", tuple(sorted(after)), tuple(creates), tuple(sorted(reads))))
    return Graph(f"random_{seed}", tuple(storages), tuple(ops))


def best_peak(graph: Graph) -> int:
    """The least live peak of all legal orders, by trying every one."""
    best = live_peak(graph, range(len(graph.ops))).bytes
    for order in permutations(range(len(graph.ops))):
        done: set[int] = set()
        for op in order:
            if not done.issuperset(graph.ops[op].after):
                break
            done.add(op)
        else:
            best = min(best, live_peak(graph, order).bytes)
    return best


def pumpkin(chains: int = 3) -> Graph:
    """One source, chains with a hill each, one sink: running the chains one by one is best."""
    storages = [Storage(8)]
    ops = [Op("source", "t", (), (0,))]
    ends = []
    for _ in range(chains):
        hill = len(ops)
        storages += [Storage(100), Storage(4)]
        ops.append(Op(f"hill_{hill}", "t", (0,), (len(storages) - 2,), (0,)))
        ends.append(len(storages) - 1)
    ops += [Op(f"down_{chain}", "t", (1 + chain,), (end,), (end - 1,)) for chain, end in enumerate(ends)]
    ops.append(Op("sink", "t", tuple(range(1 + chains, 1 + 2 * chains)), (), tuple(ends)))
    return Graph("pumpkin", tuple(storages), tuple(ops))


def captured_plan(graph: Graph, offsets: dict[int, int], arena_bytes: int) -> Plan:
    """A plan of the captured order with this layout, made without a search; it calls itself optimal, unproven."""
    order = captured_order(graph)
    peak = live_peak(graph, order).bytes
    return Plan(
        graph_sha256=fingerprint(graph),
        order=order,
        offsets=offsets,
        arena_bytes=arena_bytes,
        peak_bytes=peak,
        lower_bound_bytes=peak,
        captured_peak_bytes=peak,
        optimal=True,
        order_strategy="captured",
        layout_strategy="by hand",
        seconds=0.0,
        graph=graph,
        status="optimal",
    )


def empty() -> Graph:
    """No ops at all."""
    return Graph("empty", (), ())


def two_halves() -> Graph:
    """Like an optimizer update cut in two: consuming a gradient early pays, though one op ahead it does not show."""
    storages = (Storage(50), Storage(90), Storage(40), Storage(100), Storage(2))
    ops = (
        Op("activation", "t", (), (0,)),
        Op("weight_gradient", "t", (0,), (1,), (0,)),
        Op("consume", "t", (1,), (), (1,)),
        Op("input_gradient", "t", (0,), (2,), (0,)),
        Op("spike", "t", (3,), (3,), (2,)),
        Op("end", "t", (2, 4), (4,), (3,)),
    )
    return Graph("two_halves", storages, ops)


SMALL = {graph.name: graph for graph in (empty(), pumpkin(), two_halves(), *(random_graph(s) for s in range(6)))}
"""By name: what every strategy of the registry is tested on."""
