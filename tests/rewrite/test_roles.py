"""Repeated blocks of a model: which gaps correspond, which block an op is in, what blocks hand on."""

import numpy as np

from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.roles import roles_of
from roam_lab.rewrite.segments import forward_end, handed_on, segments
from roam_lab.rewrite.tape import problem_of
from tests.rewrite.graphs import Writer, blocks, random_step


def gaps_of(problem, op):
    """The gaps of the first result of an op of the graph, in time."""
    (storage, *_) = problem.graph.ops[op].creates
    return range(problem.tape.gap_at[storage], problem.tape.gap_at[storage + 1])


def test_corresponding_gaps_of_all_blocks_have_one_role():
    problem = problem_of(blocks(4))
    roles = roles_of(problem)
    products = [gaps_of(problem, op) for op in (1, 3, 5, 7)]
    pointwise = [gaps_of(problem, op) for op in (2, 4, 6)]
    for group in (products, pointwise):
        assert len({len(gaps) for gaps in group}) == 1
        for corresponding in zip(*group, strict=True):
            assert len({int(roles.of_gap[gap]) for gap in corresponding}) == 1
        assert len({int(roles.of_gap[gap]) for gap in group[0]}) == len(group[0])  # gaps of one storage have their own
    assert not {int(roles.of_gap[gap]) for gap in products[0]} & {int(roles.of_gap[gap]) for gap in pointwise[0]}


def test_other_bytes_phases_targets_and_results_are_other_roles():
    write = Writer()
    made = [write.storage(size) for size in (8, 8, 16, 8, 8, 8)]
    for number, storage in enumerate(made[:3]):
        write.op((storage,), module=f"h.{number}", phase="forward")
    write.op((made[3],), module="h.3", phase="backward")
    write.op((made[4], made[5]), module="h.4", phase="forward")
    problem = problem_of(write.graph())
    role = roles_of(problem).of_gap
    first, second, larger, backward, one, two = (int(role[problem.tape.gap_at[storage]]) for storage in made)
    assert first == second == one
    assert len({first, larger, backward, two}) == 4


def test_the_levels_are_blocks_by_the_first_and_by_the_second_number():
    assert roles_of(problem_of(random_step(3))).levels == roles_of(problem_of(blocks(1))).levels == ()
    (level,) = roles_of(problem_of(blocks(3))).levels
    assert set(level.tolist()) == {-1, 0, 1, 2}
    write = Writer()
    made = [write.storage(8) for _ in range(5)]
    for storage, module in zip(made, ("s.0.h.0", "s.0.h.1", "s.1.h.0", "head", "s.1"), strict=True):
        write.op((storage,), module=module, phase="forward")
    problem = problem_of(write.graph())
    coarse, fine = roles_of(problem).levels
    at = [int(problem.tape.gap_at[storage]) for storage in made]
    assert coarse[at].tolist() == [0, 0, 1, -1, 1]
    assert fine[at].tolist() == [0, 1, 2, -1, -1]


def test_segments_are_neighbouring_blocks():
    problem = problem_of(blocks(5))
    (level,) = roles_of(problem).levels
    one = segments(problem, level, 1)
    assert one[:13].tolist() == [-1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, -1, 4]
    assert segments(problem, level, 2)[:11].tolist() == [-1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert segments(problem, level, 3)[:11].tolist() == [-1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_what_segments_hand_on_is_read_in_forward_and_made_outside():
    problem = problem_of(blocks(4))
    (level,) = roles_of(problem).levels
    results = [
        problem.graph.ops[op].creates[0] for op in (0, 2, 4, 6)
    ]  # of the first op, and of the blocks but the last
    assert handed_on(problem, segments(problem, level, 1)) == frozenset(results)
    assert handed_on(problem, segments(problem, level, 2)) == frozenset({results[0], results[2]})
    assert forward_end(problem_of(blocks(4, fused=False))) == 8
    assert forward_end(problem) == 8
    write = Writer()
    write.op((write.storage(8),))
    assert forward_end(problem_of(write.graph())) == -1


def test_what_segments_hand_on_where_their_ops_alternate():
    write = Writer()
    made = [write.storage(8) for _ in range(4)]
    for reads, storage in zip(((), (), made[:1], made[1:2]), made, strict=True):
        write.op((storage,), reads, phase="forward")
    problem = problem_of(write.graph(), order=range(4))
    assert handed_on(problem, np.array([1, 0, 1, 0], np.int32)) == frozenset()
    assert handed_on(problem, np.array([1, 0, 0, 0], np.int32)) == {made[0]}


def test_gaps_held_through_an_item_are_those_of_storages_that_it_does_not_use():
    rng, found = np.random.default_rng(0), 0
    for seed in range(12):
        problem = problem_of(random_step(seed))
        explorer = Explorer(problem, 100)
        state = problem.start.copy()
        state[problem.free_gaps] = rng.integers(0, 3, len(problem.free_gaps))
        if not explorer.see(state).possible:
            continue
        trace, tape = explorer.trace, problem.tape
        for item in range(int(trace.found[0])):
            now = int(trace.item_instruction[item])
            expected = set()
            for instance in range(int(trace.found[1])):
                storage = int(trace.instance_storage[instance])
                begun = [
                    g for g in range(tape.gap_at[storage], tape.gap_at[storage + 1]) if tape.gap_instruction[g] < now
                ]
                touched = now in tape.gap_instruction[tape.gap_at[storage] : tape.gap_at[storage + 1]]
                alive = trace.birth[instance] < item < trace.last[instance]
                if alive and begun and not (touched and trace.item_main[item]):
                    expected.add(begun[-1])
            expected &= set(problem.free_gaps.tolist())
            assert explorer.held_through(item).tolist() == sorted(expected)
            found += len(expected)
    assert found > 20
