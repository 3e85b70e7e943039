"""The order that rewriting starts from: what is swapped, what is not, and where updates go."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from roam_lab.ir import Graph, Op, Storage, captured_order, check_order, live_curve, live_peak
from roam_lab.rewrite.base_order import base_order, with_early_updates
from tests.rewrite.graphs import Writer, random_step


def without_updates(seed: int) -> Graph:
    graph = random_step(seed)
    ops = tuple(op for op in graph.ops if op.phase != "update")
    return Graph(graph.name, graph.storages, ops)


@pytest.mark.parametrize("seed", [*range(40), 44, 212])  # in the last two a storage is swapped twice
def test_no_swap_of_two_neighbours_in_backward_would_lower_what_they_hold(seed):
    graph = without_updates(seed)
    order = list(base_order(graph))
    check_order(graph, order)
    forward = [op for op in order if graph.ops[op].phase == "forward"]
    assert forward == sorted(forward)  # forward is as captured
    curve = live_curve(graph, order)
    for step, (a, b) in enumerate(pairwise(order)):
        movable = graph.ops[a].phase == graph.ops[b].phase == "backward"
        if movable and a not in graph.ops[b].after:
            other = [*order[:step], b, a, *order[step + 2 :]]
            then = live_curve(graph, other)
            assert max(then[step], then[step + 1]) >= max(curve[step], curve[step + 1]), (step, a, b)


def test_what_frees_more_goes_first_also_past_several():
    write = Writer()
    held = [write.storage(100) for _ in range(3)]
    for storage in held:
        write.op((storage,), phase="forward")
    large = [write.storage(300) for _ in range(3)]
    for storage in large:
        write.op((storage,), phase="backward")
    for storage in held:
        write.op((), (storage,), phase="backward")
    write.op((), large, phase="update")
    graph = write.graph()
    assert base_order(graph) == (0, 1, 2, 6, 7, 8, 3, 4, 5, 9)
    assert live_peak(graph, base_order(graph)).bytes == 900 < live_peak(graph, captured_order(graph)).bytes == 1200


def test_what_does_not_gain_stays_as_captured():
    write = Writer()
    first, second = write.storage(8), write.storage(8)
    write.op((first,), phase="backward")
    write.op((second,), phase="backward")
    write.op((), (first, second), phase="backward")
    assert base_order(write.graph()) == (0, 1, 2)


def parameter_steps() -> Graph:
    """Two gradients, each updating a parameter by two ops that stand at the end, the second group first."""
    write = Writer()
    weights = [write.storage(50, region="resident") for _ in range(2)]
    gradients = [write.storage(50) for _ in range(2)]
    for gradient, weight in zip(gradients, weights, strict=True):
        write.op((gradient,), (weight,), phase="backward")
    for gradient, weight in zip(gradients[::-1], weights[::-1], strict=True):
        scaled = write.storage(50)
        write.op((scaled,), (gradient,), phase="update")
        write.op((), (weight, scaled), (weight,), phase="update")
    return write.graph()


def test_each_update_runs_as_a_whole_right_after_what_it_waits_for():
    graph = parameter_steps()
    assert base_order(graph) == (0, 4, 5, 1, 2, 3)
    check_order(graph, base_order(graph))
    assert with_early_updates(graph, (1, 0, 2, 3, 4, 5)) == (1, 2, 3, 0, 4, 5)


def test_an_update_that_waits_for_nothing_runs_first():
    storages = (Storage(8), Storage(8, region="resident"))
    ops = (Op("make", "t", creates=(0,), phase="backward"), Op("count", "t", writes=(1,), phase="update"))
    assert base_order(Graph("counts", storages, ops)) == (1, 0)


def test_updates_between_which_others_run_keep_the_captured_order():
    storages = (Storage(8, region="resident"), Storage(8))
    ops = (
        Op("first", "t", writes=(0,), phase="update"),
        Op("between", "t", after=(0,), creates=(1,), reads=(0,), phase="backward"),
        Op("second", "t", after=(0, 1), reads=(1,), writes=(0,), phase="update"),
    )
    assert base_order(Graph("between", storages, ops)) == (0, 1, 2)


def test_what_an_update_leaves_may_be_read_by_an_op_that_runs_later_anyway():
    graph = parameter_steps()
    norm = Op("norm", "t", after=(3, 5), reads=(0, 1), phase="backward")
    later = Graph("norm", graph.storages, (*graph.ops, norm))
    assert base_order(later) == (0, 4, 5, 1, 2, 3, 6)


def swapped(graph: Graph) -> list[int]:
    """The ops but updates, neighbours in backward swapped as long as that lowers what is live in the higher one."""
    kept = {storage for op in graph.ops if op.phase == "update" for storage in (*op.creates, *op.touches)}
    storages = tuple(replace(one, output=one.output or number in kept) for number, one in enumerate(graph.storages))
    run = [op for op, info in enumerate(graph.ops) if info.phase != "update"]
    alone = Graph("without updates", storages, tuple(replace(graph.ops[op], after=()) for op in run))
    order, before = list(range(len(run))), None
    while order != before:
        before = order[:]
        for step in range(len(order) - 1):
            a, b = (run[op] for op in order[step : step + 2])
            other = [*order[:step], order[step + 1], order[step], *order[step + 2 :]]
            if graph.ops[a].phase == graph.ops[b].phase == "backward" and a not in graph.ops[b].after:
                now, then = (max(live_curve(alone, one)[step : step + 2]) for one in (order, other))
                order = other if then < now else order
    return [run[op] for op in order]


def with_updates(graph: Graph, order: list[int]) -> tuple[int, ...]:
    """The updates put into `order`, each with all those that it is connected with, behind what one of them awaits."""
    groups: list[set[int]] = []
    for op, info in enumerate(graph.ops):
        if info.phase == "update":
            met = [group for group in groups if group & set(info.after)]
            groups = [group for group in groups if group not in met] + [{op}.union(*met)]
    behind: dict[int, list[int]] = {}
    for group in sorted(map(sorted, groups)):
        waits = [order.index(before) for op in group for before in graph.ops[op].after if before in order]
        behind.setdefault(max(waits, default=-1), []).extend(group)
    return (*behind.get(-1, []), *(one for step, op in enumerate(order) for one in (op, *behind.get(step, []))))


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_the_order_is_the_one_that_trying_every_swap_gives(first):
    """A third of the ops in forward; some random updates of two or three ops."""
    moved = 0
    for seed in range(first, first + 20):
        graph = random_step(seed)
        count = len([op for op in graph.ops if op.phase != "update"])
        ops = [replace(op, phase=op.phase if op.phase == "update" else "backward") for op in graph.ops[count // 3 :]]
        graph = replace(graph, ops=(*graph.ops[: count // 3], *ops))
        draw = random.Random(seed)
        more = list(graph.ops)
        for number in range(3):
            waits = sorted(draw.sample(range(len(more)), 2))
            if more[waits[0]].phase == "update" or draw.random() < 0.5:
                more.append(Op(f"more_{number}", "t", after=tuple(waits), phase="update", pure=False))
        graph = replace(graph, ops=tuple(more))
        order = base_order(graph)
        assert order == with_updates(graph, swapped(graph))
        moved += swapped(graph) != [op for op in range(len(graph.ops)) if graph.ops[op].phase != "update"]
    assert moved > 5
