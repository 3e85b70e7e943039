"""Save sets of small steps beside the best of all sets, each tried."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from roam_lab.ir.graph import Device
from roam_lab.rewrite import save_set
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.save_set import UNITS, Instant, SaveSet, applied, fastest_set, instant_of, least_us, smallest_set
from roam_lab.rewrite.tape import DROP, HOLD, KEEP, problem_of
from roam_lab.solvers.ilp import Solved
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


def two_to_keep(sizes=(128, 64), rows=None, share=None):
    """a takes 4 us, b, made from a, 2 us; both are used before op 3, which makes 256 bytes, and after it."""
    write = Writer()
    a, b, hot = (write.storage(size) for size in (*sizes, 256))
    sink = write.storage(8, region="resident")
    write.op((a,), time_us=4.0)
    write.op((b,), (a,), time_us=2.0, rows=rows)
    write.op((), (a, b), (sink,))
    write.op((hot,))
    write.op((), (b, hot), (sink,))
    write.op((), (a,), (sink,))
    device = None if share is None else Device(1e12, 1e12, 1.0, 2**20, 1e9, fused_share=share)
    return problem_of(replace(write.graph(), device=device), ("fuse", "recompute"), order=range(6))


AT_OP_3 = [Instant(3, True, 256, True)]
A, B = 0, 1


def stays(problem, found):
    """The storages that a set saves across the instant."""
    return {int(problem.gap_storage[gap]) for gap, kept in found.kept.items() if kept}


@pytest.mark.parametrize(
    ("us", "held", "saved"),
    [(0.0, 448, {A, B}), (1.9, 448, {A, B}), (2.0, 384, {A}), (4.0, 320, {B}), (6.0, 256, set())],
)
def test_a_set_has_exactly_the_bytes_and_the_time_of_what_it_saves_and_makes_again(us, held, saved):
    problem = two_to_keep()
    small = smallest_set(problem, AT_OP_3, us, 1024)
    fast = fastest_set(problem, AT_OP_3, held)
    assert stays(problem, small) == stays(problem, fast) == saved
    assert (small.bytes, small.slack) == (held + 1, 0)  # rounded up
    assert held <= fast.bytes <= held + 1
    assert fast.us == pytest.approx(0.0 if us == 1.9 else us)
    assert small.us == pytest.approx(us)  # all that is allowed
    assert (
        fastest_set(problem, AT_OP_3, held - 1) is None
        or stays(problem, fastest_set(problem, AT_OP_3, held - 1)) != saved
    )


def test_what_is_to_be_saved_is_saved_whatever_that_costs():
    problem = two_to_keep()
    assert smallest_set(problem, AT_OP_3, 10.0, 1024, saved={B}).bytes == 320 + 1
    assert fastest_set(problem, AT_OP_3, 319, saved={B}) is None
    assert fastest_set(problem, AT_OP_3, 320, saved={B}).us == pytest.approx(4.0)


def test_small_storages_are_saved_without_asking_and_are_the_slack_of_the_bound():
    problem = two_to_keep()
    gaps = {int(problem.gap_storage[gap]): gap for gap in smallest_set(problem, AT_OP_3, 10.0, 1024).kept}
    found = smallest_set(problem, AT_OP_3, 10.0, 8000 * 64)
    assert (list(found.kept), found.slack) == ([gaps[A]], 64)
    found = smallest_set(problem, AT_OP_3, 10.0, 8000 * 64 - 1)
    assert (set(found.kept), found.slack) == ({gaps[A], gaps[B]}, 0)
    assert smallest_set(problem, AT_OP_3, 10.0, 8000 * 64, saved={B}).slack == 0  # it would not be made again
    twice = [Instant(3, True, 256, True), Instant(4, False, 256, True)]
    assert smallest_set(problem, twice, 10.0, 8000 * 64).slack == 64  # of the instant with most


def test_a_relaxed_program_does_not_count_what_is_small():
    problem = two_to_keep((63_744, 8))  # with the 256 bytes of the op 64,000, and 8 more
    assert stays(problem, fastest_set(problem, AT_OP_3, 64_000)) == set()
    assert stays(problem, fastest_set(problem, AT_OP_3, 64_000, relaxed=True)) == {A}
    assert fastest_set(problem, AT_OP_3, 63_991, relaxed=True).us > 0


def test_the_least_target_is_one_byte():
    at = [Instant(3, True, 0, True)]
    assert stays(two_to_keep((2, 1)), fastest_set(two_to_keep((2, 1)), at, 0)) == {B}
    assert stays(two_to_keep((2, 2)), fastest_set(two_to_keep((2, 2)), at, 0)) == set()


def test_an_op_that_can_be_fused_costs_its_share():
    assert least_us(two_to_keep()) == least_us(two_to_keep(rows=4)) == least_us(two_to_keep(share=0.5)) == 10.0
    problem = two_to_keep(rows=4, share=0.5)
    assert least_us(problem) == 9.0
    assert fastest_set(problem, AT_OP_3, 384).us == pytest.approx(1.0)


def test_what_the_solver_does_not_say_is_not_made_up(monkeypatch):
    def given(objective, bound, values=None):
        values = {"held": 0.25, "keep0": 1.0, "keep3": 0.0} if values is None else values
        monkeypatch.setattr(save_set, "solve", lambda program, node_limit: Solved("feasible", objective, bound, values))
        model = save_set._Model(two_to_keep(), [], 1024, ())
        return model.solved(7, 2.0)

    assert given(3.0, 2.5) == SaveSet({}, 0.0, 257, 5.0, 0)
    assert given(3.0, None).bound == given(3.0, -1.0).bound == 0.0
    assert given(None, 1.0) is None
    assert given(3.0, 1.0, {}) is None


def test_a_set_is_put_into_the_gaps_that_are_free():
    problem = two_to_keep(rows=4)
    explorer, count = Explorer(problem, 10), len(problem.start)
    a, b = (int(problem.tape.gap_at[one]) for one in (A, B))
    explorer.is_free[b + 1] = False
    given = np.full(count, HOLD, np.int8)
    found = SaveSet({a: True, b: False, a + 1: False, b + 1: True}, 0.0, 0, 0.0, 0)
    state = applied(explorer, given, found, DROP, HOLD)
    assert (state[a], state[a + 1], state[b]) == (KEEP, DROP, HOLD)  # b may pass inside
    assert applied(explorer, given, found, HOLD, DROP)[[a + 1, b]].tolist() == [HOLD, DROP]
    assert state[b + 1] == HOLD
    assert (given == HOLD).all()
