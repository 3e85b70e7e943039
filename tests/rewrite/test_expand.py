"""Every state written out is a graph that the judge's paper run accepts, with the evaluator's peak and time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.errors import FormatError, InfeasibleError
from roam_lab.ir import Graph, Op, Storage, captured_order, live_peak
from roam_lab.ir.graph import Device
from roam_lab.rewrite.evaluate import evaluate
from roam_lab.rewrite.expand import _Expansion, expand
from roam_lab.rewrite.frontier import frontier
from roam_lab.rewrite.kinds import KINDS
from roam_lab.rewrite.steps import Steps
from roam_lab.rewrite.tape import DROP, HOLD, KEEP, problem_of
from roam_lab.rewrite.trace import new_trace
from tests.rewrite.graphs import Writer, blocks, judged, random_step


def check(graph, state_seed, rate, kinds=KINDS):
    """Peak and time of a random state, told by evaluator, graph and judge alike; whether it could be run."""
    problem = problem_of(graph, kinds)
    random = np.random.default_rng(state_seed)
    state = problem.start.copy()
    picked = problem.free_gaps[random.random(len(problem.free_gaps)) < rate]
    state[picked] = random.integers(0, 3, len(picked))
    cost = evaluate(problem, state, new_trace(problem))
    if not cost.possible:
        with pytest.raises(InfeasibleError, match="copy would find other values"):
            expand(problem, state)
        return False
    rewritten = expand(problem, state)
    ops_say_what_their_origins_say(graph, rewritten)
    peak, us = judged(graph, rewritten)
    assert peak == live_peak(rewritten.graph, captured_order(rewritten.graph)).bytes
    assert peak <= cost.peak  # less where a chain runs op by op and an operand dies between them
    assert us == pytest.approx(cost.us)
    return True


def ops_say_what_their_origins_say(graph, rewritten):
    """Storages, dependences and the rest of each op of a rewritten graph, from its origin and the ops before alone."""
    writer, readers, seen, drawn = {}, {}, set(), None
    for number, (op, origin) in enumerate(zip(rewritten.graph.ops, rewritten.origins, strict=True)):
        parts = [graph.ops[index] for index in origin.ops]
        reads, results, writes = (
            [one for one in dict.fromkeys(places) if one is not None]
            for places in (origin.reads, origin.results, origin.writes)
        )
        new = rewritten.graph.storages
        scratch = [one for one in op.creates if new[one].kind == "scratch"]
        assert op.reads == tuple(reads)
        assert op.creates == (*(one for one in results if one not in op.writes), *scratch)
        assert set(op.writes) == {*writes, *results} - set(op.creates)
        assert all(
            new[one].kind == ("recomputed" if seen & set(origin.ops) else None)
            for one in op.creates
            if one not in scratch
        )
        after = {writer[one] for one in reads if one in writer}
        for one in op.writes:
            after |= {*readers.get(one, ()), *([writer[one]] if one in writer else [])}
        if any(part.random for part in parts):
            after, drawn = after | ({drawn} if drawn is not None else set()), number
        assert op.after == tuple(sorted(after))
        for one in (*op.creates, *op.writes):
            writer[one], readers[one] = number, []
        for one in reads:
            readers.setdefault(one, []).append(number)
        assert op.pure == (all(part.pure for part in parts) and not op.writes)
        assert op.reuse == ()
        assert (op.phase, op.module) == (parts[-1].phase, parts[-1].module)
        seen |= set(origin.ops)
    assert all(not storage.output for storage in new[len(graph.storages) :])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 99), st.sampled_from((0.0, 0.2, 0.7, 1.0)))
def test_the_judge_accepts_random_states_of_random_steps(seed, state_seed, rate):
    graph = random_step(seed)
    possible = check(graph, state_seed, rate)
    assert possible or rate > 0


@pytest.mark.parametrize("kinds", [(), ("in_place",), ("fuse",), ("recompute",), ("fuse", "recompute")])
def test_the_judge_accepts_every_choice_of_kinds(kinds):
    assert sum(check(random_step(seed), seed, 0.5, kinds) for seed in range(20)) > 15


def test_a_fused_op_may_take_a_share_of_its_parts():
    device = Device(1e12, 1e12, 1.0, 2**20, 1e9, fused_share=0.5)
    assert sum(check(replace(random_step(seed), device=device), seed, 0.5) for seed in range(30)) > 20
    graph = replace(blocks(2), device=device)
    problem = problem_of(graph)
    assert problem.share == 0.5


def chain(size=2**26):
    """a -> b -> c by rows, then an op that reads a and c; all of `size` bytes but the last result."""
    write = Writer()
    a, b, c = (write.storage(size) for _ in range(3))
    d = write.storage(8, output=True)
    write.op((a,))
    write.op((b,), (a,), rows=4)
    write.op((c,), (b,), rows=4, reuse=((c, b),))
    write.op((d,), (a, c), time_us=3.0)
    return write.graph()


def test_what_passes_inside_a_chain_takes_no_memory_but_scratch():
    graph = chain()
    new = expand(problem_of(graph, ("fuse",)), problem_of(graph, ("fuse",)).start)
    assert [origin.ops for origin in new.origins] == [(0,), (1, 2), (3,)]
    assert new.origins[1].reads == (0, None)
    assert new.origins[1].results == (None, 2)
    assert [new.graph.storages[s].kind for s in new.graph.ops[1].creates] == [None, "scratch"]


def test_a_chain_that_saves_nothing_runs_op_by_op():
    graph = chain(2**20)  # what passes inside fits into the scratch, which is as large
    new = expand(problem_of(graph, ("fuse",)), problem_of(graph, ("fuse",)).start)
    assert [origin.ops for origin in new.origins] == [(0,), (1,), (2,), (3,)]
    fused = replace(graph, device=Device(1e12, 1e12, 1.0, 2**20, 1e9, fused_share=0.5))  # ... but time
    new = expand(problem_of(fused, ("fuse",)), problem_of(fused, ("fuse",)).start)
    assert [origin.ops for origin in new.origins] == [(0,), (1, 2), (3,)]


def test_in_place_gives_a_result_the_place_of_what_died():
    graph = chain()
    new = expand(problem_of(graph, ("in_place",)), problem_of(graph, ("in_place",)).start)
    assert new.graph.ops[2].creates == ()
    assert new.graph.ops[2].writes == new.graph.ops[2].reads == (1,)
    assert new.origins[2].results == (1,)
    assert new.graph.ops[3].reads == (0, 1)
    assert not new.graph.ops[2].pure


def test_a_dropped_storage_is_made_again_and_held_if_asked():
    write = Writer()
    a, b, c, d = (write.storage(100) for _ in range(4))
    write.op((a,), time_us=5.0)
    write.op((b,), (a,))
    write.op((c,), (a, b))
    write.op((d,), (a, c))
    graph = write.graph()
    problem = problem_of(graph, ("recompute",))
    for value, times in ((KEEP, 1), (DROP, 2), (HOLD, 2)):
        state = problem.start.copy()
        state[problem.tape.gap_at[a] + 1] = value  # behind b
        new = expand(problem, state)
        assert sum(origin.ops == (0,) for origin in new.origins) == times
        assert new.recomputed == times - 1


@pytest.mark.parametrize("first", [True, False])
def test_what_is_made_on_the_way_is_held_if_asked(first):
    """One op makes two storages; when it runs again for one of them, the other may stay for its reader, or be made a
    third time. `first`: the latter has gap 0."""
    write = Writer()
    storages = [write.storage(100), write.storage(100)]
    held, dropped = storages if first else reversed(storages)
    write.op(storages)
    write.op((), (dropped,))
    write.op((write.storage(10),))
    write.op((), (dropped,))
    write.op((), (held,))
    problem = problem_of(write.graph(), ("recompute",))
    gap = problem.tape.gap_at
    assert bool(gap[held] == 0) is first
    twice = ["op_0", "op_0_copy1"]
    for value, names in ((KEEP, twice), (HOLD, twice), (DROP, [*twice, "op_0_copy2"])):
        state = problem.start.copy()
        state[gap[dropped] + 1] = DROP
        state[gap[held]] = value
        new = expand(problem, state).graph
        assert [op.name for op in new.ops if op.name.startswith("op_0")] == names
        assert (new.ops[-1].reads == (held,)) is (value == KEEP)  # what was kept is read, not the copy


def test_copies_are_named_by_how_often_their_op_has_run():
    """And only the first is a part of its multi-tensor call."""
    graph = random_step(7)
    graph = replace(graph, ops=tuple(replace(op, call=3) for op in graph.ops))
    most = 0
    for seed in range(30):
        problem = problem_of(graph, ("recompute",))
        random = np.random.default_rng(seed)
        state = problem.start.copy()
        state[problem.free_gaps] = random.integers(0, 3, len(problem.free_gaps))
        if not evaluate(problem, state, new_trace(problem)).possible:
            continue
        runs: dict[int, int] = {}
        new = expand(problem, state)
        for op, origin in zip(new.graph.ops, new.origins, strict=True):
            (index,) = origin.ops
            before = runs.get(index, 0)
            assert op.name == graph.ops[index].name + (f"_copy{before}" if before else "")
            assert op.call == (None if before else 3)
            runs[index] = before + 1
        most = max(most, *runs.values())
    assert most > 2


def test_a_copy_never_reads_a_parameter_after_its_update():
    write = Writer()
    weight = write.storage(10, region="resident")
    a, b = write.storage(100), write.storage(100, output=True)
    write.op((a,), (weight,))
    write.op((), (weight,), (weight,))
    write.op((b,), (a,))
    problem = problem_of(write.graph(), order=(0, 1, 2))
    assert problem.tape.gap_at[a] not in problem.free_gaps
    state = problem.start.copy()
    state[problem.tape.gap_at[a]] = DROP
    with pytest.raises(InfeasibleError):
        expand(problem, state)


def test_a_version_1_graph_is_refused():
    graph = Graph("first", (Storage(8),), (Op("a", "t", creates=(0,)),))
    with pytest.raises(FormatError, match="can only be ordered and laid out"):
        problem_of(graph)


def test_a_chain_that_runs_op_by_op_still_gives_results_the_place_of_what_died():
    graph = chain(2**20)
    problem = problem_of(graph, ("fuse", "in_place"))
    new = expand(problem, problem.start)
    assert [origin.ops for origin in new.origins] == [(0,), (1,), (2,), (3,)]
    assert (new.graph.ops[2].creates, new.graph.ops[2].writes) == ((), (1,))
    assert judged(graph, new)[0] == 2 * 2**20 + 8


def test_what_is_made_again_is_of_kind_recomputed():
    graph = blocks(4)
    (point,) = [one for one in frontier(graph, 4, effort=300) if one.extra_time > 0][:1]
    rewritten, seen, kinds = point.rewritten(), set(), set()
    for op, origin in zip(rewritten.graph.ops, rewritten.origins, strict=True):
        for index, storage in zip(origin.ops, origin.results, strict=False):
            again = index in seen
            if storage in op.creates:
                kinds.add((again, rewritten.graph.storages[storage].kind))
        seen.update(origin.ops)
    assert kinds == {(False, None), (True, "recomputed")}


def test_a_fused_op_is_named_by_its_ends_and_counts_all_its_parts():
    def fused(*flops, copies=0, pure=True):
        write = Writer()
        a, b, c = (write.storage(64) for _ in range(3))
        for storage, reads, count in zip((a, b, c), ((), (a,), (b,)), flops, strict=True):
            write.op((storage,), reads, rows=4, flops=count, pointwise=True, call=7)
        if not pure:
            write.op((), (c,), (c,), rows=4, flops=0)
        problem = problem_of(write.graph())
        expansion = _Expansion(problem, Steps([], [], []))
        for _ in range(copies):
            expansion._named([2])
        return expansion._named([0, 1, 2] if pure else [0, 1, 2, 3])

    one = fused(3, None, 4)
    assert (one.name, one.target, one.flops, one.pure) == ("fused_op_0_to_op_2", "roam::fused", 7, True)
    assert (one.pointwise, one.call, one.rows) == (None, None, 4)
    assert fused(None, None, None).flops is None
    assert fused(0, None, None).flops == 0
    assert fused(1, 2, 3, copies=2).name == "fused_op_0_to_op_2_copy2"  # as often as any of them has run
    assert fused(1, 2, 3, pure=False).pure is False


def test_a_state_is_written_out_with_its_chains_taken_apart_unless_asked():
    graph = chain(2**20)
    problem = problem_of(graph, ("fuse",))
    assert len(expand(problem, problem.start).graph.ops) == 4
    assert len(expand(problem, problem.start, split=False).graph.ops) == 3
