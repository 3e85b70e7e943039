"""A state run on paper in plain Python, with chains and results in place: what the compiled evaluator is compared
with."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from roam_lab.rewrite.tape import DROP, HOLD, KEEP, SCRATCH_BYTES, Problem


@dataclass
class Item:
    """What runs as one op: its ops, the instances that it reads and makes, its time, bytes of values inside it."""

    instruction: int
    main: bool
    ops: list[int]
    reads: list[int] = field(default_factory=list)
    makes: list[int] = field(default_factory=list)
    us: float = 0.0
    scratch: int = 0


class Lists:
    """The lists of a problem's tape, by op, by storage and by instruction."""

    def __init__(self, problem: Problem) -> None:
        tape = problem.tape

        def lists(at, values):
            return [values[low:high].tolist() for low, high in pairwise(at)]

        self.groups = lists(tape.group_at, tape.group)
        self.reads, self.makes = lists(tape.reads_at, tape.reads), lists(tape.makes_at, tape.makes)
        pairs = zip(lists(tape.reuse_at, tape.reuse_new), lists(tape.reuse_at, tape.reuse_old), strict=True)
        self.reuse = [list(zip(new, old, strict=True)) for new, old in pairs]
        self.gaps = [list(range(low, high)) for low, high in pairwise(tape.gap_at)]
        self.begins = tape.gap_instruction.tolist()
        self.size, self.maker = tape.size.tolist(), tape.creator.tolist()


class Plain(Lists):
    """A run of `state`: `items`, `lives` (of each instance its storage, first and last item), `place` (instance -> the
    one whose memory it takes), `curve`. `deepest`, `most_ops`, `most_reads`: of the frames that were open at once.
    Raises LookupError where a copy cannot be made."""

    def __init__(self, problem: Problem, state) -> None:
        super().__init__(problem)
        self.problem, self.tape, self.state = problem, problem.tape, state.tolist()
        self.items: list[Item] = []
        self.lives: list[list[int]] = []
        self.made_by: list[int] = []
        self.live: dict[int, int] = {}  # storage -> instance
        self.pins = [0] * len(self.size)
        self.deepest = self.most_ops = self.most_reads = 0
        self.open: list[tuple[int, int]] = []  # frames: how many ops, how many reads
        for now, group in enumerate(self.groups):
            self.now = now
            wanted = [op for op in group if not self.again(op) or any(map(self.kept_first, self.makes[op]))]
            if wanted:
                self.frame(wanted, True)
            for storage in {s for op in group for s in (*self.reads[op], *self.makes[op])}:
                if self.state[self.gap(storage, now)] != KEEP:
                    self.live.pop(storage, None)
        self.us = sum(item.us for item in self.items)
        for life in self.lives:
            life[2] = len(self.items) - 1 if self.tape.output[life[0]] else life[2]
        self.place: dict[int, int] = {}
        if self.tape.in_place[0]:
            self.put_in_place()
        self.curve = [item.scratch for item in self.items]
        for instance, (storage, first, last) in enumerate(self.lives):
            for item in range(first, last + 1 - (instance in self.place.values())):
                self.curve[item] += self.size[storage]
        self.peak = max(self.curve, default=0)
        self.hottest = self.curve.index(self.peak) if self.curve else 0

    def again(self, op: int) -> bool:
        return bool(self.tape.op_again[op]) and self.now < self.tape.op_until[op]

    def kept_first(self, storage: int) -> bool:
        return self.state[self.gaps[storage][0]] == KEEP

    def gap(self, storage: int, now: int) -> int | None:
        """The gap of the storage that begins behind instruction `now`."""
        return next((gap for gap in self.gaps[storage] if self.begins[gap] == now), None)

    def said(self, storage: int) -> int | None:
        """What the state says of the gap that the storage is in before this instruction; None before its first."""
        past = [gap for gap in self.gaps[storage] if self.begins[gap] < self.now]
        return self.state[past[-1]] if past else None

    def joins(self, op: int, producer: int, storage: int) -> bool:
        """Whether the producer of what `op` reads can run with it, and the value stay inside."""
        same = self.tape.op_class[op] == self.tape.op_class[producer] != -1
        return bool(same and self.tape.inside[storage] and self.said(storage) != HOLD and self.again(producer))

    def frame(self, ops: list[int], main: bool) -> None:
        ops, reads = list(ops), list[int]()
        for op in ops:  # it grows
            for storage in self.reads[op]:
                producer = self.maker[storage]
                if storage not in self.live:
                    if producer in ops and (self.tape.inside[storage] or self.said(storage) is None):
                        continue
                    if producer not in ops and self.joins(op, producer, storage):
                        ops.append(producer)
                        continue
                if storage not in reads:
                    reads.append(storage)
                    self.pins[storage] += 1
        self.open.append((len(ops), len(reads)))
        self.deepest = max(self.deepest, len(self.open))
        self.most_ops = max(self.most_ops, sum(count for count, _ in self.open))
        self.most_reads = max(self.most_reads, sum(count for _, count in self.open))
        for storage in reads:
            if storage not in self.live:
                if not self.again(self.maker[storage]):
                    raise LookupError(storage)
                self.frame([self.maker[storage]], False)
        self.open.pop()
        self.run(Item(self.now, main, sorted(ops)), reads)

    def run(self, item: Item, reads: list[int]) -> None:
        number = len(self.items)
        self.items.append(item)
        item.reads = [self.live[storage] for storage in reads]
        for storage, instance in zip(reads, item.reads, strict=True):
            self.lives[instance][2] = number
            self.pins[storage] -= 1
        fused, inner = len(item.ops) > 1, set[int]()
        for op in item.ops:
            for storage in self.makes[op]:
                now = self.gap(storage, self.now)
                asked = self.said(storage) == HOLD if now is None else self.state[now] == KEEP
                stays = storage not in self.live and (asked or self.pins[storage] > 0)
                if fused and self.tape.inside[storage] and not stays:
                    inner.add(storage)
                    continue
                item.makes.append(len(self.lives))
                if stays:
                    self.live[storage] = len(self.lives)
                self.lives.append([storage, number, number])
                self.made_by.append(op)
        item.scratch = min(self.inside(item.ops, inner), SCRATCH_BYTES)
        for storage in reads:
            waited_for = self.pins[storage] or self.gap(storage, self.now) is not None
            if not waited_for and self.said(storage) == DROP:
                self.live.pop(storage, None)
        times = [float(self.tape.op_us[op]) for op in item.ops]
        item.us = max(max(times), self.problem.share * sum(times)) if fused else sum(times)

    def inside(self, ops: list[int], inner: set[int]) -> int:
        """The most bytes of values inside a fused op, each held from its op to its last reader."""
        lasts = {s: [op for op in ops if s in self.reads[op] or s in self.makes[op]] for s in inner}
        return max(
            sum(self.size[s] for s, (first, *more) in lasts.items() if first <= op <= [first, *more][-1]) for op in ops
        )

    def put_in_place(self) -> None:
        for number, item in enumerate(self.items):
            for made in item.makes:
                new, op = self.lives[made][0], self.made_by[made]
                fitting = [old for old in item.reads if self.fits(number, item, op, new, old)]
                if fitting and not self.tape.output[new]:
                    self.place[made] = fitting[0]

    def fits(self, number: int, item: Item, op: int, new: int, instance: int) -> bool:
        """Whether the result `new` of `op` may take the memory of an instance that the item reads."""
        old, _, last = self.lives[instance]
        if (
            last != number
            or instance in self.place.values()
            or self.tape.output[old]
            or self.size[old] != self.size[new]
        ):
            return False
        reader = max(one for one in item.ops if old in self.reads[one])
        row_by_row = reader < op and self.tape.inside[new] and self.tape.elements[new] == self.tape.elements[old]
        return bool(row_by_row or (reader == op and (new, old) in self.reuse[op]))
