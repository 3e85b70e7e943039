"""The flat arrays of a graph, beside what its ops say."""

from dataclasses import replace
from functools import cache

import pytest

from roam_lab.ir.graph import Device
from roam_lab.rewrite.base_order import base_order
from roam_lab.rewrite.chains import chain_classes, elements, instructions
from roam_lab.rewrite.kinds import FREE, ON_DEVICE
from roam_lab.rewrite.tape import DROP, KEEP, NEVER, free_problem, problem_of
from tests.rewrite.graphs import Writer, random_step
from tests.rewrite.plain import Lists


class Told:
    """What the ops of a graph, in an order of groups, say of each other."""

    def __init__(self, graph, groups, kinds):
        self.graph, self.recompute = graph, "recompute" in kinds
        self.run = [op for group in groups for op in group]
        self.ops = [graph.ops[op] for op in self.run]
        self.at = [number for number, group in enumerate(groups) for _ in group]
        self.planned = [storage.region in ("arena", "op") for storage in graph.storages]
        self.reads = [[s for s in op.touches if self.planned[s]] for op in self.ops]
        self.makes = [[s for s in op.creates if self.planned[s]] for op in self.ops]
        self.touched = [
            sorted({self.at[k] for k in range(len(self.ops)) if s in (*self.reads[k], *self.makes[k])})
            for s in range(len(graph.storages))
        ]
        self.maker = {s: k for k, made in enumerate(self.makes) for s in made}

    def until(self, op):
        """The first instruction of a later op that changes what `op` reads."""
        later = range(op + 1, len(self.ops))
        return min((self.at[k] for k in later if set(self.ops[k].writes) & set(self.ops[op].reads)), default=NEVER)

    def again(self, op):
        one, storages = self.ops[op], self.graph.storages
        if not one.pure or one.random or one.writes or not one.creates:
            return False
        if any(storages[s].output or storages[s].region == "host" for s in one.creates):
            return False
        return not any(set(later.writes) & set(one.creates) for later in self.ops[op + 1 :])

    @cache  # noqa: B019
    def copies_until(self, op):
        """... and what copies of `op` read can be had no longer."""
        limits = [
            max(self.touched[s][-1] + 1, self.copies_until(self.maker[s]))
            for s in self.reads[op]
            if self.again(self.maker[s])
        ]
        return min([self.until(op), *limits])

    def gaps(self, storage):
        """What the start state says of each gap of a storage, and whether another state may say something else."""
        times = self.touched[storage]
        readers = [k for k, reads in enumerate(self.reads) if storage in reads]
        if not readers:
            return [KEEP for _ in times], [False for _ in times]
        again = self.recompute and self.again(self.maker[storage])
        for_copies = self.recompute and not again and any(map(self.again, readers))
        free = [again and following < self.copies_until(self.maker[storage]) for following in times[1:]]
        last = KEEP if self.graph.storages[storage].output or for_copies else DROP
        return [KEEP] * (len(times) - 1) + [last], [*free, again]


def with_host(graph):
    """The graph with a copy of its first storage to the host, which is pure; in front one that is not timed."""
    host = len(graph.storages)
    first = next(op for op in graph.ops if op.creates)
    copy = replace(first, name="to_host", after=(graph.ops.index(first),), creates=(host,), reads=first.creates[:1],
                   writes=(), reuse=(), random=None, pure=True, rows=None, time_us=None)  # fmt: skip
    storages = (*graph.storages, replace(graph.storages[first.creates[0]], region="host", output=False))
    return replace(graph, storages=storages, ops=(*graph.ops, copy))


@pytest.mark.parametrize("kinds", [(), ("recompute",), ("fuse", "recompute"), ON_DEVICE])
def test_the_arrays_say_what_the_ops_say(kinds):
    for seed in range(40):
        graph = random_step(seed)
        graph = with_host(graph) if seed % 4 == 0 else graph
        problem = problem_of(graph, kinds, order=range(len(graph.ops)) if seed % 2 else None)
        tape, lists = problem.tape, Lists(problem)
        order = range(len(graph.ops)) if seed % 2 else base_order(graph)
        classes = chain_classes(graph) if "fuse" in kinds else [None] * len(graph.ops)
        groups = instructions(graph, order, classes)
        told = Told(graph, groups, kinds)
        count, storages = len(graph.ops), graph.storages
        assert problem.order == tuple(told.run)
        assert lists.groups == [[k for k in range(count) if told.at[k] == at] for at in range(len(groups))]
        assert (lists.reads, lists.makes) == (told.reads, told.makes)
        both = [[(a, b) for a, b in op.reuse if told.planned[a] and told.planned[b]] for op in told.ops]
        assert lists.reuse == both
        assert [[lists.begins[gap] for gap in gaps] for gaps in lists.gaps] == told.touched
        touches = list(zip(tape.touch.tolist(), tape.touch_gap.tolist(), strict=True))
        for at in range(len(groups)):
            here = touches[tape.touch_at[at] : tape.touch_at[at + 1]]
            assert here == [(s, lists.gaps[s][times.index(at)]) for s, times in enumerate(told.touched) if at in times]
        assert problem.gap_storage.tolist() == [s for s, gaps in enumerate(lists.gaps) for _ in gaps]
        assert tape.op_us.tolist() == [op.time_us or 0.0 for op in told.ops]
        assert problem.base_us == sum(op.time_us or 0.0 for op in told.ops)
        found = [classes[op] for op in told.run]
        known = list(dict.fromkeys(one for one in found if one is not None))
        assert tape.op_class.tolist() == [-1 if one is None else known.index(one) for one in found]
        assert tape.op_until.tolist() == [told.until(k) for k in range(count)]
        assert tape.op_again.tolist() == [told.again(k) for k in range(count)]
        assert lists.maker == [told.maker.get(s, -1) for s in range(len(storages))]
        assert lists.size == [storage.bytes for storage in storages]
        assert tape.elements.tolist() == [elements(graph, s) for s in range(len(storages))]
        assert tape.output.tolist() == [storage.output for storage in storages]
        inside = [
            found[k] is not None and elements(graph, s) == found[k][1] and not storages[s].output
            for s, k in sorted(told.maker.items())
        ]
        assert [bool(tape.inside[s]) for s in sorted(told.maker)] == inside
        said = [told.gaps(s) for s in range(len(storages))]
        assert problem.start.tolist() == [value for values, _ in said for value in values]
        assert problem.free_gaps.tolist() == [
            gap for gap, free in enumerate(one for _, frees in said for one in frees) if free
        ]
        assert tape.in_place.tolist() == ["in_place" in kinds]


def test_what_is_not_given_is_on_the_device_from_the_base_order_and_costs_as_much_as_its_parts():
    graph = random_step(5)
    problem = problem_of(graph)
    assert problem.kinds == frozenset(ON_DEVICE)
    assert problem.share == 1.0
    assert problem_of(replace(graph, device=Device(1.0, 1.0, 1.0, 1, 1.0, fused_share=0.5))).share == 0.5
    assert free_problem(graph).kinds == free_problem(graph, ON_DEVICE).kinds == frozenset(FREE)
    assert free_problem(graph, {"fuse", "recompute"}).kinds == {"fuse"}
    assert not len(free_problem(graph).free_gaps)


def test_a_copy_is_possible_as_long_as_what_it_reads_can_be_had():
    """The first result is gone behind op 2, its op may run again until op 4 changes what it reads: up to there the
    second result can be made again."""
    write = Writer()
    weight = write.storage(8, region="resident")
    first, second = write.storage(8), write.storage(8)
    write.op((first,), (weight,))
    write.op((second,), (first,))
    write.op((), (first,))
    write.op((), (second,))
    write.op((), (weight,), (weight,))
    write.op((), (second,))
    problem = problem_of(write.graph(), ("recompute",), order=range(6))
    gaps = problem.tape.gap_at
    assert problem.tape.op_until.tolist()[:2] == [4, NEVER]
    assert set(range(gaps[second], gaps[second + 1])) & set(problem.free_gaps.tolist()) == {
        gaps[second],  # up to op 3
        gaps[second + 1] - 1,  # and behind the last
    }
