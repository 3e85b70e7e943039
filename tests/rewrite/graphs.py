"""Small training steps for tests of rewriting: random ones, a chain of blocks, and the judge's paper run."""

from __future__ import annotations

import importlib.util
import random
from types import ModuleType

from roam_lab.ir import Graph, Op, Storage, graph_to_data
from roam_lab.ir.rewritten import Rewritten
from roam_lab.plan.origins_json import add_origins
from tests.captured import JUDGE

ROWS = (4, 8)


def judge() -> ModuleType:
    """tests/judge.py as a module, apart from all others."""
    spec = importlib.util.spec_from_file_location("judge", JUDGE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judged(graph: Graph, rewritten: Rewritten) -> tuple[int, float]:
    """Live peak and time of `rewritten`, once the judge has run it on paper; SystemExit where it refuses."""
    law = judge()
    data = graph_to_data(rewritten.graph)
    add_origins(data["ops"], rewritten.origins)
    order = list(range(len(data["ops"])))
    law.check_order(data, order)
    law.check_rewriting(graph_to_data(graph), data, order)
    return law.live_peak(data, order)[0], law.seconds(data)


class Writer:
    """A graph being written op by op; `after` follows from what the ops read and write."""

    def __init__(self) -> None:
        self.storages: list[Storage] = []
        self.ops: list[Op] = []
        self.writer: dict[int, int] = {}
        self.readers: dict[int, list[int]] = {}
        self.random: int | None = None

    def storage(self, bytes_: int, **more) -> int:
        self.storages.append(Storage(bytes_, **more))
        return len(self.storages) - 1

    def op(self, creates=(), reads=(), writes=(), random=False, **more) -> int:
        number = len(self.ops)
        after = {self.writer[s] for s in (*reads, *writes) if s in self.writer}
        after |= {reader for s in writes for reader in self.readers.get(s, ())}
        if random:
            after |= set() if self.random is None else {self.random}
            self.random = number
        for s in (*creates, *writes):
            self.writer[s], self.readers[s] = number, []
        for s in reads:
            self.readers.setdefault(s, []).append(number)
        given = {"time_us": 1.0, "pure": not writes and not random, **more}
        self.ops.append(
            Op(
                f"op_{number}",
                "t",
                after=tuple(sorted(after - {number})),
                creates=tuple(creates),
                reads=tuple(reads),
                writes=tuple(writes),
                random=random or None,
                **given,
            )
        )
        return number

    def graph(self, name: str = "written") -> Graph:
        return Graph(name, tuple(self.storages), tuple(self.ops))


def random_step(seed: int, most_ops: int = 24) -> Graph:
    """A legal step: pure and impure ops, some by rows, some in place, some that draw random numbers; then updates."""
    draw = random.Random(seed)
    write = Writer()
    weights = [write.storage(draw.choice((0, 16, 64)), region="resident") for _ in range(3)]
    made: list[int] = []
    for _ in range(draw.randint(2, most_ops)):
        recent = made[-6:] if draw.random() < 0.7 else made
        reads = sorted(set(draw.sample(recent, min(len(recent), draw.choice((1, 1, 2, 3))))))
        reads += [weight for weight in weights if draw.random() < 0.2]
        rows = draw.choice((None, *ROWS, ROWS[0]))
        phase = "backward" if len(write.ops) > most_ops // 2 else "forward"
        how = {"rows": rows, "phase": phase, "time_us": float(draw.choice((0, 1, 5, 20)))}
        kind = draw.random()
        if kind < 0.12 and made:
            target = draw.choice(made)
            write.op((), sorted({*reads, target}) if draw.random() < 0.7 else reads, (target,), **how)
        elif kind < 0.2:
            made.append(write.storage(32))
            write.op((made[-1],), reads, random=True, **how)
        else:
            sizes = [draw.choice((32, 32, 32, 0, 100, 300)) for _ in range(draw.choice((1, 1, 1, 2)))]
            region = draw.choice(("arena", "arena", "op"))
            new = [write.storage(size, output=draw.random() < 0.05, region=region) for size in sizes]
            pairs = tuple((n, r) for n in new for r in reads if draw.random() < 0.4 and r not in weights)
            write.op(new, reads, reuse=pairs, **how)
            made += new
    for weight in weights:
        if draw.random() < 0.8 and made:
            write.op((), (weight, draw.choice(made)), (weight,), phase="update", rows=None)
    return write.graph(f"step_{seed}")


def blocks(count: int, fused: bool = True) -> Graph:
    """Forward: each block a matrix product and a pointwise op after it; backward: both results of every block are read
    again. The pointwise op is cheap, the product dear."""
    write = Writer()
    weights = [write.storage(50, region="resident") for _ in range(count)]
    state = write.storage(100)
    write.op((state,), phase="forward", time_us=1.0)
    kept = []
    for number, weight in enumerate(weights):
        product, result = write.storage(100), write.storage(100)
        module = f"h.{number}.mlp"
        write.op((product,), (state, weight), phase="forward", module=module, time_us=20.0)
        write.op((result,), (product,), phase="forward", module=module, time_us=2.0, rows=4 if fused else None)
        kept.append((state, product, result, weight))
        state = result
    gradient = write.storage(100)
    write.op((gradient,), (state,), phase="backward", time_us=1.0)
    for number, (given, product, result, weight) in reversed(list(enumerate(kept))):
        module = f"h.{number}.mlp"
        inner, outer, of_weight = write.storage(100), write.storage(100), write.storage(50)
        write.op((inner,), (gradient, product, result), phase="backward", module=module, time_us=2.0, rows=None)
        write.op((of_weight,), (inner, given), phase="backward", module=module, time_us=20.0)
        write.op((outer,), (inner, weight), phase="backward", module=module, time_us=20.0)
        write.op((), (weight, of_weight), (weight,), phase="update", time_us=1.0)
        gradient = outer
    return write.graph(f"blocks_{count}")


def ladder(seed: int, length: int = 3) -> Graph:
    """Forward a chain of ops, backward an op for each result, not to be repeated; random sizes and times."""
    draw = random.Random(seed)
    write = Writer()
    made: list[int] = []
    for _ in range(length):
        made.append(write.storage(draw.choice((40, 64, 100))))
        reads = made[-2:-1] if draw.random() < 0.7 else made[-3:-1]
        write.op(made[-1:], reads, phase="forward", time_us=float(draw.randint(1, 9)), rows=draw.choice((None, 4)))
    last = write.storage(30)
    write.op((last,), made[-1:], phase="backward")
    for result in reversed(made):
        after = write.storage(draw.choice((30, 60)))
        write.op((after,), (last, result), phase="backward", time_us=3.0, pure=False)
        last = after
    end = write.storage(1, output=True)
    write.op((end,), (last,), phase="backward")
    return write.graph(f"ladder_{seed}")
