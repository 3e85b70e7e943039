"""Save sets of small steps beside the best of all sets, each tried."""

from itertools import product

import numpy as np
import pytest

from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.save_set import UNITS, Instant, fastest_set, instant_of, smallest_set
from roam_lab.rewrite.tape import problem_of
from tests.rewrite.graphs import Writer, blocks, ladder, random_step

MOST_GAPS = 9
RECOMPUTE = {"recompute"}


class Sets:
    """Every choice of gaps in which storages are kept at the instants: `all`, as (bytes, us)."""

    def __init__(self, problem, instants):
        graph, self.tape = problem.graph, problem.tape
        self.ops = [graph.ops[op] for op in problem.order]
        planned = [not storage.always_there for storage in graph.storages]
        self.reads = [[s for s in op.touches if planned[s]] for op in self.ops]
        self.bytes = [storage.bytes for storage in graph.storages]
        self.maker = {s: number for number, op in enumerate(self.ops) for s in op.creates if planned[s]}
        self.free = set(problem.free_gaps.tolist())
        self.again = self.tape.op_again.tolist()
        self.there = [self.gaps_at(instant) for instant in instants]
        gaps = sorted({gap for there in self.there for gap in there.values()})
        self.all = []
        if len(gaps) > MOST_GAPS:
            return
        for choice in product((False, True), repeat=len(gaps)):
            kept = {gap for gap, keeps in zip(gaps, choice, strict=True) if keeps}
            costs = [self.cost(kept, *pair) for pair in zip(instants, self.there, strict=True)]
            if None not in costs:
                again = set().union(*(ops for _, ops in costs))
                self.all.append((max(held for held, _ in costs), sum(self.ops[op].time_us for op in again)))

    def touches(self, storage):
        return self.tape.gap_instruction[self.tape.gap_at[storage] : self.tape.gap_at[storage + 1]].tolist()

    def gaps_at(self, instant):
        """Storage -> the gap that it is in at the instant, of those that no op uses then."""
        end = instant.instruction - (not instant.main)
        found = {}
        for storage in self.maker:
            past = [at for at in self.touches(storage) if at <= end]
            if past and not (instant.main and past[-1] == instant.instruction):
                found[storage] = int(self.tape.gap_at[storage]) + len(past) - 1
        return found

    def cost(self, kept, instant, there):
        """Bytes at the instant, and the ops that run again after it at a cost; None where something is missing."""
        end = instant.instruction - (not instant.main)
        needed = [storage for storage in there if self.touches(storage)[-1] > end]
        made, waiting = set(), [storage for storage in needed if there[storage] not in kept]
        while waiting:
            storage = waiting.pop()
            op = self.maker[storage]
            if not self.again[op] or (storage in needed and there[storage] not in self.free):
                return None
            if op not in made:
                made.add(op)
                waiting += [read for read in self.reads[op] if read in there and there[read] not in kept]
        held = sum(self.bytes[storage] for storage, gap in there.items() if gap in kept)
        return instant.rest + held, {op for op in made if not self.can_wait(op, instant.instruction)}

    def can_wait(self, op, now):
        """Whether the first run of the op can be put off until after `now`."""
        users = [user for user, reads in enumerate(self.reads) if set(reads) & set(self.ops[op].creates)]
        return op < now and self.again[op] and all(user > now or self.can_wait(user, now) for user in users)


def cases():
    """Small steps with one or two instants, for which all sets can be tried."""
    random = np.random.default_rng(0)
    for seed in range(24):
        graph = ladder(seed, 3 + seed % 3) if seed % 2 else random_step(seed, most_ops=7)
        problem = problem_of(graph, RECOMPUTE)
        if not problem.base_us or not len(problem.free_gaps):
            continue
        for _ in range(2):
            count = int(random.integers(1, 3))
            times = sorted(1 + random.choice(len(graph.ops) - 1, count, replace=False))
            instants = [Instant(int(time), random.random() < 0.7, int(random.integers(1, 90)), True) for time in times]
            sets = Sets(problem, instants).all
            if len(set(sets)) > 1:
                yield problem, instants, sets


def test_the_fastest_and_the_smallest_set_are_the_best_of_all():
    tried = again = 0
    for problem, instants, sets in cases():
        slack_us = problem.base_us / UNITS
        levels = sorted({held for held, _ in sets})
        for target in dict.fromkeys((levels[0], levels[len(levels) // 2], levels[-1])):
            best = min(us for held, us in sets if held <= target)
            found = fastest_set(problem, instants, target)
            assert found is not None
            assert found.us == pytest.approx(best, abs=slack_us)
            assert found.bytes <= target + 1
            assert best - slack_us <= found.bound <= best + 1e-6
            tried, again = tried + 1, again + (best > 0)
        if levels[0] > 1:
            assert fastest_set(problem, instants, levels[0] - 1) is None
        for limit in sorted({us for _, us in sets})[:3]:
            best, scale = min(held for held, us in sets if us <= limit + 1e-9), levels[-1]
            found = smallest_set(problem, instants, limit, scale)
            assert found is not None
            assert found.bytes == pytest.approx(best, abs=1 + scale / UNITS)
            assert found.us <= limit + slack_us
            assert found.bound <= best + 1e-6 * scale
            if found.kept:  # HiGHS gives no bound of a program without whole numbers
                assert best - 1 - scale / UNITS <= found.bound
    assert tried > 30
    assert again > 10


def test_what_cannot_be_made_again_stays_for_the_copies_that_read_it():
    write = Writer()
    drawn, wide, hot, last = (write.storage(size) for size in (100, 300, 10, 5))
    write.op((drawn,), random=True)
    write.op((wide,), (drawn,))
    write.op((hot,))
    write.op((last,), (wide, hot))
    problem = problem_of(write.graph(), RECOMPUTE)
    instants = [Instant(2, True, 10, True)]
    assert sorted(set(Sets(problem, instants).all)) == [(110, 0), (310, 0), (410, 0)]  # the copy can wait till then
    found = smallest_set(problem, instants, 10.0, 1000)
    assert found is not None
    assert found.bytes == pytest.approx(110, abs=1 + 1000 / UNITS)
    assert found.us == 0.0


@pytest.mark.parametrize(
    "graph", [blocks(3), blocks(2, fused=False), *map(random_step, range(6))], ids=lambda g: g.name
)
def test_an_instant_is_exact_where_its_op_is_alone_and_has_the_bytes_that_no_set_changes(graph):
    problem = problem_of(graph)
    explorer, random = Explorer(problem, 100), np.random.default_rng(0)
    for rate in (0.0, 0.4):
        state = problem.start.copy()
        picked = problem.free_gaps[random.random(len(problem.free_gaps)) < rate]
        state[picked] = random.integers(0, 3, len(picked))
        if not explorer.see(state).possible:
            continue
        trace, tape = explorer.trace, problem.tape
        for item in range(int(trace.found[0])):
            instant = instant_of(explorer, item)
            now = int(trace.item_instruction[item])
            ops = tape.group[tape.group_at[now] : tape.group_at[now + 1]].tolist()
            takes = [pair for op in ops for pair in graph.ops[problem.order[op]].reuse]
            chained = [op for op in ops if tape.op_class[op] >= 0]
            assert (instant.instruction, instant.main) == (now, bool(trace.item_main[item]))
            assert instant.exact == (instant.main and not takes and not chained)
            read = trace.reads[trace.reads_at[item] : trace.reads_at[item + 1]].tolist()
            held = sum(
                graph.storages[int(trace.instance_storage[one])].bytes
                for one in range(int(trace.found[1]))
                if trace.birth[one] < item < trace.last[one] and one not in read
            )
            assert instant.rest == trace.curve[item] - held
