"""What the searches share: what was seen, how much effort is left, which ops ran again."""

from collections import Counter

import numpy as np

from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.tape import DROP, problem_of
from tests.rewrite.graphs import Writer, blocks
from tests.rewrite.plain import Plain
from tests.rewrite.test_evaluate import random_state


def test_every_state_seen_takes_effort_and_those_that_can_be_run_go_to_the_front():
    write = Writer()
    drawn, last = write.storage(8), write.storage(8)
    write.op((drawn,), random=True)
    write.op((last,), (drawn,), pure=False)
    explorer = Explorer(problem_of(write.graph()), 2)
    assert not explorer.see(np.full(len(explorer.problem.start), DROP, np.int8)).possible
    assert (explorer.left, explorer.front.us) == (1, [])
    cost = explorer.see(explorer.problem.start)
    assert (explorer.left, explorer.front.us, explorer.front.peaks) == (0, [2.0], [16])
    assert cost.over == 8 + 16
    assert explorer.see(explorer.problem.start, 10).over == 6
    assert explorer.left == -1
    assert Explorer(explorer.problem).left == 0


def test_a_state_is_new_once():
    explorer = Explorer(problem_of(blocks(2)))
    start = explorer.problem.start
    other = start + (np.arange(len(start)) == 0).astype(np.int8)
    assert [explorer.is_new(state) for state in (start, other, start.copy(), other)] == [True, True, False, False]


def test_the_ops_that_ran_again_are_known():
    explorer, random, met = Explorer(problem_of(blocks(4))), np.random.default_rng(0), 0
    for _ in range(12):
        state = random_state(explorer.problem, random)
        if explorer.see(state).possible:
            runs = Counter(op for item in Plain(explorer.problem, state).items for op in item.ops)
            assert explorer.again().tolist() == sorted(op for op, count in runs.items() if count > 1)
            met += max(runs.values()) > 1
    assert met > 3
