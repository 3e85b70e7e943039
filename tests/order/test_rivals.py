"""The greedy orders of other tools: against their own code where it is at hand, and by hand where it is not."""

from __future__ import annotations

import pytest

from roam_lab.ir import Graph, Op, Storage, captured_order, check_order
from roam_lab.order.outcome import run
from roam_lab.registry import find
from tests.order.inductor import NAMES, available, inductor_orders
from tests.plan.graphs import SMALL, random_graph
from tests.plan.training_step import training_step

GRAPHS = [*SMALL.values(), *(random_graph(seed, 25) for seed in range(80)), training_step(3)]
RIVALS = ("lescea", "xla_list", *NAMES)


def order_of(name: str, graph: Graph) -> tuple[int, ...]:
    return run(find("order", name), graph, {}).order


def steps(*ops: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], sizes: str, outputs: str = "") -> Graph:
    """A graph of (after, creates, touches); sizes as words, output storages by number."""
    kept = {int(word) for word in outputs.split()}
    storages = tuple(Storage(int(size), output=number in kept) for number, size in enumerate(sizes.split()))
    return Graph("steps", storages, tuple(Op(f"op_{number}", "t", *op) for number, op in enumerate(ops)))


@pytest.mark.parametrize("name", RIVALS)
def test_odd_graphs(name: str) -> None:
    unused = Graph("unused", (Storage(8), Storage(0), Storage(5, region="op")), (Op("a", "t", (), (1, 2)),))
    bare = Graph("bare", (), (Op("a", "t"), Op("b", "t", (0,)), Op("c", "t")))
    for graph in (unused, bare, *(random_graph(seed, 20, external=True) for seed in range(10))):
        check_order(graph, order_of(name, graph))


@pytest.mark.skipif(not available(), reason="this torch has no topological_sort_lpmf, _bfs and _dfs")
@pytest.mark.parametrize("name", NAMES)
def test_inductor_itself_gives_the_same_order(name: str) -> None:
    differ = [graph.name for graph in GRAPHS if inductor_orders(graph)[name] != order_of(name, graph)]
    assert differ == []
    changed = [graph for graph in GRAPHS if order_of(name, graph) != captured_order(graph)]
    assert len(changed) > len(GRAPHS) / 3


def test_lpmf_takes_what_fits_below_the_maximum() -> None:
    # The output makes 50 the maximum: both fit, so the one that leaves least runs first, though it allocates more.
    ops = (((), (0,), ()), ((), (1, 2), ()), ((0, 1), (3,), (0, 2)))
    assert order_of("lpmf", steps(*ops, sizes="10 45 5 50", outputs="3")) == (1, 0, 2)
    assert order_of("lpmf", steps(*ops, sizes="10 45 5 49", outputs="3")) == (0, 1, 2)


def test_bfs_runs_first_what_has_waited_longest() -> None:
    chain_and_two = steps(((), (), ()), ((), (), ()), ((1,), (), ()), ((0,), (), ()), sizes="")
    assert order_of("bfs", chain_and_two) == (0, 1, 3, 2)


def test_dfs_visits_small_ops_first() -> None:
    roots = steps(((), (0,), ()), ((), (1,), ()), ((0, 1), (), (0, 1)), sizes="9 4")
    assert order_of("dfs", roots) == (1, 0, 2)


def test_lescea_takes_the_least_extra_memory() -> None:
    # Op 2 allocates 6 and frees 8; op 1 allocates 1.
    graph = steps(((), (0,), ()), ((0,), (1,), ()), ((0,), (2,), (0,)), sizes="8 1 6")
    assert order_of("lescea", graph) == (0, 2, 1)
    assert order_of("lescea", steps(((), (0,), ()), ((), (1,), ()), sizes="3 3")) == (0, 1)


def test_xla_list_ranks_scalars_then_net_bytes_then_users() -> None:
    # Op 1 is a scalar; 2 frees 40 net; 3 and 4 define as much, but 3's result has a user.
    graph = steps(
        ((), (0,), ()),
        ((0,), (1,), ()),
        ((0,), (2,), (0,)),
        ((0,), (3,), ()),
        ((0,), (4,), ()),
        ((3,), (), (3,)),
        sizes="50 8 10 20 20",
    )
    assert order_of("xla_list", graph) == (0, 1, 2, 3, 5, 4)


def test_xla_list_takes_the_newest_of_equals() -> None:
    graph = steps(((), (0,), ()), ((), (1,), ()), ((1,), (2,), ()), sizes="20 20 20")
    assert order_of("xla_list", graph) == (1, 2, 0)


def test_xla_list_knows_scalars_by_shape() -> None:
    ops = (Op("a", "t", (), (0,)), Op("b", "t", (), (1,)))
    flat = Graph("flat", (Storage(4, shape=(1, 1)), Storage(4, shape=(4,))), ops)
    assert order_of("xla_list", flat) == (0, 1)
    assert order_of("xla_list", Graph("flat", flat.storages[::-1], ops)) == (1, 0)
