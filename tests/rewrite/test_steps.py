"""Chains that become single ops again where that costs no memory."""

import random
from collections import Counter
from itertools import count

import numpy as np
import pytest

from roam_lab.rewrite.evaluate import evaluate
from roam_lab.rewrite.frontier import frontier
from roam_lab.rewrite.steps import Step, Steps, steps_of
from roam_lab.rewrite.tape import problem_of
from roam_lab.rewrite.trace import new_trace
from tests.rewrite.graphs import Writer, judged
from tests.rewrite.plain import Plain
from tests.rewrite.test_evaluate import random_state, step


def test_an_output_inside_a_chain_is_not_overwritten():
    """The chain is the last to run. An op of it is the last to read the output, and could take its place."""
    write = Writer()
    wide, start = write.storage(640), write.storage(64)
    early, end, last = write.storage(64, output=True), write.storage(64), write.storage(64, output=True)
    write.op((wide,))
    write.op((start,), (wide,))
    for new, old in ((early, start), (end, early), (last, end)):
        write.op((new,), (old,), rows=4, reuse=((new, old),))
    graph = write.graph()
    for point in frontier(graph, 2):
        rewritten = point.rewritten()
        assert len(rewritten.graph.ops) == 5  # no chain is left
        assert judged(graph, rewritten)[0] == point.peak_bytes
        assert not any(early in op.writes for op in rewritten.graph.ops)


def test_an_op_in_a_chain_takes_the_place_of_what_only_it_reads():
    write = Writer()
    wide, start, middle, end = (write.storage(size) for size in (640, 64, 64, 64))
    last = write.storage(64, output=True)
    write.op((wide,))
    write.op((start,), (wide,))
    for new, old in ((middle, start), (end, middle), (last, end)):
        write.op((new,), (old,), rows=4, reuse=((new, old),))
    graph = write.graph()
    rewritten = frontier(graph, 1)[0].rewritten()
    assert [op.writes for op in rewritten.graph.ops] == [(), (), (start,), (start,), ()]
    assert [op.creates for op in rewritten.graph.ops] == [(wide,), (start,), (), (), (last,)]


def rows_alone(seed):
    """Little but ops by rows of one class, each of which reads some of the four results before."""
    draw, write = random.Random(seed), Writer()
    size = draw.choice((2**20, 2**23, 2**25))
    made = [write.storage(size) for _ in range(draw.randint(1, 2))]
    write.op(made)
    for _ in range(draw.randint(3, 8)):
        made.append(write.storage(size, output=draw.random() < 0.15))
        reads = sorted(draw.sample(made[-5:-1], draw.randint(1, min(3, len(made) - 1))))
        pairs = tuple((made[-1], read) for read in reads if draw.random() < 0.6)
        write.op(made[-1:], reads, rows=4, reuse=pairs)
    write.op((write.storage(8, output=True),), sorted(draw.sample(made, 1)))
    return write.graph()


class Apart:
    """A chain of a run whose ops run one by one: its `steps`, the storages of instances that are new, `places`
    (instance -> the one whose memory it takes), and `most`, the bytes that its instances take at once."""

    def __init__(self, plain, number, first_new):
        item, tape = plain.items[number], plain.tape
        storage = {one: plain.lives[one][0] for one in (*item.reads, *item.makes)}
        stays = {one for one in storage if plain.lives[one][2] > number or tape.output[storage[one]]}
        outer = {storage[one]: one for one in item.reads}
        made = {storage[one]: one for one in item.makes}
        numbers, found, self.new, uses = count(first_new), dict[int, int](), list[int](), []
        for op in item.ops:
            reads = [outer.get(s, found.get(s)) for s in plain.reads[op]]
            for s in plain.makes[op]:
                if s not in made:
                    self.new.append(s)
                found[s] = made[s] if s in made else next(numbers)
                storage[found[s]] = s
            uses.append((op, reads, [found[s] for s in plain.makes[op]]))
        self.steps = [
            Step((op,), tuple(dict.fromkeys(reads)), tuple(makes), 0, tape.op_us[op]) for op, reads, makes in uses
        ]
        self.places: dict[int, int] = {}
        begin = dict.fromkeys(item.reads, 0) | {one: k for k, (_, _, makes) in enumerate(uses) for one in makes}
        end = {one: k for k, (_, reads, makes) in enumerate(uses) for one in (*reads, *makes)}
        end |= dict.fromkeys(stays, len(uses))
        for k, (op, reads, makes) in enumerate(uses if tape.in_place[0] else ()):
            for new in makes:
                fitting = [
                    old for old in reads
                    if (storage[new], storage[old]) in plain.reuse[op] and end[old] == k
                    and plain.size[storage[new]] == plain.size[storage[old]]
                    and old not in self.places.values() and not tape.output[storage[new]]
                ]  # fmt: skip
                if fitting:
                    self.places[new] = fitting[0]
        held = [
            sum(plain.size[s] for one, s in storage.items() if begin[one] + (one in self.places) <= k <= end[one])
            for k in range(len(uses))
        ]
        new_ones = [one for one in item.makes if one not in plain.place]
        beside = plain.curve[number] - item.scratch - sum(plain.size[storage[one]] for one in (*item.reads, *new_ones))
        self.most = beside + max(held)


@pytest.mark.parametrize("kinds", [("fuse", "recompute"), ("in_place", "fuse", "recompute")])
def test_a_chain_is_taken_apart_where_that_does_not_raise_the_peak_nor_take_longer(kinds):
    draw, met = np.random.default_rng(0), Counter()
    for seed in range(210):
        problem = problem_of(step(seed) if seed % 3 == 0 else rows_alone(seed), kinds)
        state, trace = random_state(problem, draw), new_trace(problem)
        if not evaluate(problem, state, trace).possible:
            continue
        plain = Plain(problem, state)
        expected = Steps(
            [], [life[0] for life in plain.lives], [plain.place.get(i, -1) for i in range(len(plain.lives))]
        )
        whole = []
        for number, item in enumerate(plain.items):
            whole.append(
                Step(tuple(item.ops), tuple(item.reads), tuple(item.makes), item.scratch, pytest.approx(item.us))
            )
            apart = Apart(plain, number, len(expected.storage)) if len(item.ops) > 1 else None
            taken = apart is not None and apart.most <= plain.peak and problem.share == 1
            met[taken, apart is not None, problem.share] += 1
            if not taken:
                expected.steps.append(whole[-1])
                continue
            met["places"] += len(apart.places)
            expected.steps += apart.steps
            expected.storage += apart.new
            expected.place += [-1] * len(apart.new)
            for one in {made for part in apart.steps for made in part.makes}:
                expected.place[one] = apart.places.get(one, -1)
        assert steps_of(problem, trace) == expected
        assert steps_of(problem, trace, split=False).steps == whole
    assert min(met[True, True, 1.0], met[False, True, 1.0], met[False, True, 0.5]) > 10, met
    assert met["places"] > 10 or "in_place" not in kinds


def test_a_graph_without_ops_has_no_steps():
    problem = problem_of(Writer().graph())
    trace = new_trace(problem)
    assert evaluate(problem, problem.start, trace).us == 0
    assert steps_of(problem, trace) == Steps([], [], [])
