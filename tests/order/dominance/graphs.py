"""Series-parallel graphs, trees and pumpkins for tests, and exact references of their own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import pairwise

from roam_lab.ir import Graph, Op, Storage, live_peak

SIZES = (0, 1, 2, 3, 5, 8, 13, 40, 100)


class Builder:
    """Collects ops and edges; an edge carries one or several storages, or its op's one output is shared by all."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.edges: list[set[int]] = []

    def op(self, *before: int) -> int:
        """A new op after `before`."""
        self.edges.append(set(before))
        return len(self.edges) - 1

    def graph(self, name: str, sharing: float = 0.5) -> Graph:
        """The graph; with probability `sharing` an op has one output that all its followers read."""
        draw = self.draw
        storages: list[Storage] = []
        creates: list[list[int]] = [[] for _ in self.edges]
        touches: list[list[int]] = [[] for _ in self.edges]

        def add(op: int, readers: list[int]) -> None:
            storages.append(Storage(draw.choice(SIZES), output=not readers and draw.random() < 0.2))
            creates[op].append(len(storages) - 1)
            for reader in readers:
                touches[reader].append(len(storages) - 1)

        for op in range(len(self.edges)):
            readers = [other for other, before in enumerate(self.edges) if op in before]
            if not readers or draw.random() < sharing:
                add(op, readers)
            else:
                for reader in readers:
                    for _ in range(draw.choice((1, 1, 1, 2, 3))):
                        add(op, [reader])
            if draw.random() < 0.2:
                add(op, [])  # workspace
        ops = (
            Op(f"op_{op}", "t", tuple(sorted(before)), tuple(creates[op]), tuple(touches[op]))
            for op, before in enumerate(self.edges)
        )
        return Graph(name, tuple(storages), tuple(ops))


def series_parallel(seed: int, most_ops: int = 12) -> Graph:
    """A random two-terminal series-parallel graph of up to `most_ops` ops."""
    draw = random.Random(seed)
    build = Builder(draw)

    def between(source: int, count: int) -> int:
        """`count` ops after `source`, entered from it and left through the last of them, which is returned."""
        if count == 1:
            return build.op(source)
        if draw.random() < 0.4:
            first = draw.randint(1, count - 1)
            return between(between(source, first), count - first)
        inner = count - 1
        ends = []
        while inner:
            size = draw.randint(1, inner)
            ends.append(between(source, size))
            inner -= size
        return build.op(*ends, *([source] if draw.random() < 0.2 else []))

    count = draw.randint(1, most_ops)
    source = build.op()
    if count > 1:
        between(source, count - 1)
    return build.graph(f"series_parallel_{seed}", draw.choice((0.0, 0.5, 1.0)))


def in_tree(seed: int, count: int = 200) -> Graph:
    """A random in-tree: every op's output is read by one other, the last op excepted."""
    draw = random.Random(seed)
    width = draw.choice((3, 20, count))
    reader = [draw.randint(op + 1, min(count - 1, op + width)) for op in range(count - 1)]
    storages = tuple(Storage(draw.choice(SIZES)) for _ in range(2 * count))  # outputs, then workspaces
    ops = tuple(
        Op(
            f"op_{op}",
            "t",
            after := tuple(other for other, reads in enumerate(reader) if reads == op),
            (op, count + op),
            after,
        )
        for op in range(count)
    )
    return Graph(f"in_tree_{seed}", storages, ops)


def mirrored(graph: Graph) -> Graph:
    """The same graph with time running backwards: what was freed last is created first."""
    count = len(graph.ops)
    creator, touchers = {}, {}
    for storage in range(len(graph.storages)):
        users = graph.users[storage]
        last = [user for user in users if not any(user in graph.ops[other].after for other in users)]
        assert len(last) == 1, "who frees a storage must be known, or nobody knows who creates it in the mirror"
        creator[storage], touchers[storage] = last[0], [user for user in users if user != last[0]]
    ops = []
    for op in range(count - 1, -1, -1):
        after = tuple(sorted(count - 1 - other for other in graph.followers[op]))
        creates = tuple(storage for storage, made in creator.items() if made == op)
        touches = tuple(storage for storage, used in touchers.items() if op in used)
        ops.append(Op(f"op_{op}", "t", after, creates, touches))
    return Graph(f"{graph.name}_mirrored", graph.storages, tuple(ops))


def pumpkin(seed: int, chains: int = 10, count: int = 300, shared: bool = True) -> Graph:
    """One source that all chains read, chains, one sink."""
    draw = random.Random(seed)
    build = Builder(draw)
    source = build.op()
    ends = [source] * chains
    for number in range(count - 2):
        chain = number if number < chains else draw.randrange(chains)
        ends[chain] = build.op(ends[chain])
    build.op(*ends)
    graph = build.graph(f"pumpkin_{seed}", 0.0)
    if not shared:
        return graph
    # All chains read one storage of the source.
    size = draw.choice((1, 20, 100, 400))
    extra = len(graph.storages)
    ops = [
        Op(
            op.name,
            op.target,
            op.after,
            op.creates + ((extra,) if number == source else ()),
            op.reads + ((extra,) if source in op.after else ()),
        )
        for number, op in enumerate(graph.ops)
    ]
    return Graph(graph.name, (*graph.storages, Storage(size)), tuple(ops))


def hard_pumpkin(seed: int, chains: int = 10, length: int = 30) -> Graph:
    """Chains of many hills and valleys, and a large storage of the source that each reads somewhere."""
    draw = random.Random(seed)
    storages = [Storage(draw.randint(100, 3000))]
    ops = [Op("source", "t", (), (0,))]
    ends: list[tuple[int, int]] = []
    for chain in range(chains):
        reader = draw.choice((0, draw.randrange(length)))
        last, carried = 0, -1
        for at in range(length):
            out = int(abs(at / length - draw.choice((0.3, 0.5, 0.7))) * draw.randint(50, 400)) + draw.randint(1, 60)
            storages += [Storage(out), Storage(draw.randint(0, 900))]  # what goes on, and workspace
            reads = {0} if at == reader else set()
            touches = tuple(sorted(reads | ({carried} if at else set())))
            ops.append(Op(f"{chain}_{at}", "t", (last,), (len(storages) - 2, len(storages) - 1), touches))
            last, carried = len(ops) - 1, len(storages) - 2
        ends.append((last, carried))
    ops.append(Op("sink", "t", tuple(last for last, _ in ends), (), tuple(carried for _, carried in ends)))
    return Graph(f"hard_pumpkin_{seed}", tuple(storages), tuple(ops))


def least_peak(graph: Graph, forced: Sequence[int] = ()) -> int:
    """The least live peak of all legal orders (that run `forced` in this sequence).

    It is the least hill on the way through all sets of finished ops.
    """
    count = len(graph.ops)
    need = [sum(1 << other for other in op.after) for op in graph.ops]
    for first, second in pairwise(forced):
        need[second] |= 1 << first
    users = [sum(1 << user for user in group) for group in graph.users]
    sizes = [info.bytes for info in graph.storages]
    kept = [info.output for info in graph.storages]
    made = [1 << creator if creator is not None else 0 for creator in graph.creator]

    def alive(done: int, running: int) -> int:
        """What is held while `running` runs, or after `done` if it is 0."""
        return sum(
            size
            for storage, size in enumerate(sizes)
            if made[storage] & (done | running)
            and (kept[storage] or users[storage] & ~done or users[storage] & running)
        )

    seen = set()
    heap = [(0, 0)]
    while heap:
        hill, done = heappop(heap)
        if done == (1 << count) - 1:
            return hill
        if done in seen:
            continue
        seen.add(done)
        for op in range(count):
            bit = 1 << op
            if not done & bit and not need[op] & ~done and done | bit not in seen:
                heappush(heap, (max(hill, alive(done, bit)), done | bit))
    return live_peak(graph, ()).bytes


def liu_tree(graph: Graph) -> int:
    """The least peak of an in-tree by Liu's algorithm (1987), as he wrote it: hill-valley segments, merged by H - V."""

    def segments(levels: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """(hill, valley) of a run of (bytes during, bytes after): the highest, the lowest after it, and so on."""
        found = []
        start = 0
        while start < len(levels):
            top = max(range(start, len(levels)), key=lambda i: (levels[i][0], i))
            low = min(range(top, len(levels)), key=lambda i: (levels[i][1], -i))
            found.append((levels[top][0], levels[low][1]))
            start = low + 1
        return found

    sizes = [info.bytes for info in graph.storages]
    profile: list[list[tuple[int, int]]] = []
    for op in graph.ops:
        parts = []
        for child in op.after:
            before = 0
            for hill, valley in profile[child]:
                parts.append((hill - before, valley - before, hill - valley))
                before = valley
        parts.sort(key=lambda part: -part[2])
        level, levels = 0, []
        for hill, rise, _ in parts:
            levels.append((level + hill, level + rise))
            level += rise
        own = sum(sizes[storage] for storage in op.creates)
        kept = sum(
            sizes[s] for s in op.creates if any(s in graph.ops[f].touches for f in graph.followers[len(profile)])
        )
        levels.append((level + own, kept))
        profile.append(segments(levels))
    return profile[-1][0][0]


def embedded(seed: int) -> tuple[Graph, list[int]]:
    """A graph of up to 12 ops and an isolated part, which only two ops enter and leave; around it anything goes."""
    draw = random.Random(seed)
    size, around = draw.randint(2, 5), draw.randint(1, 4)
    storages: list[Storage] = []
    edges: list[set[int]] = []
    creates: list[list[int]] = []
    touches: list[list[int]] = []

    def op(before: Sequence[int], reads: Sequence[int]) -> int:
        edges.append({*before, *(creator for creator, made in enumerate(creates) if set(made) & set(reads))})
        creates.append([])
        touches.append(sorted(reads))
        return len(edges) - 1

    def storage(op: int) -> int:
        storages.append(Storage(draw.choice(SIZES), output=draw.random() < 0.1))
        creates[op].append(len(storages) - 1)
        return len(storages) - 1

    entry = op((), ())
    inner = [storage(entry) for _ in range(draw.randint(1, 2))]
    outer = [storage(entry)]
    part: list[int] = []
    for _ in range(size):
        new = op([entry, *(other for other in part if draw.random() < 0.25)], [s for s in inner if draw.random() < 0.4])
        inner += [storage(new) for _ in range(draw.choice((0, 1, 1, 2)))]
        part.append(new)
    leave = op(part, [s for s in inner if draw.random() < 0.3])
    outer += [storage(leave)]
    beside: list[int] = []
    for _ in range(around):
        ends = [end for end in (entry, leave) if draw.random() < 0.2]
        reads = [s for s in outer if draw.random() < 0.3 and not (s in creates[leave] and entry in ends)]
        beside.append(op([*ends, *(other for other in beside if draw.random() < 0.3)], reads))
        outer += [storage(beside[-1]) for _ in range(draw.choice((0, 1, 2)))]
    ops = tuple(
        Op(f"op_{at}", "t", tuple(sorted(before)), tuple(made), tuple(read))
        for at, (before, made, read) in enumerate(zip(edges, creates, touches, strict=True))
    )
    return Graph(f"embedded_{seed}", tuple(storages), ops), part
