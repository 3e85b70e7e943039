"""A rewritten graph keeps its order and its peak, and its arena is hardly more."""

import pytest

from roam_lab.ir import check_layout, lifetimes, load_graph
from roam_lab.plan.rewriting import CLOSE, place
from roam_lab.rewrite.frontier import frontier
from tests.rewrite.graphs import SHARED, blocks


def test_every_point_is_placed_in_the_order_that_it_was_planned_for():
    for point in frontier(blocks(4), 4, effort=300):
        placed = place(point.rewritten(), alignment=1)
        assert placed.order == tuple(range(len(placed.rewritten.graph.ops)))
        assert placed.peak_bytes == point.peak_bytes <= placed.layout.arena_bytes
        check_layout(lifetimes(placed.rewritten.graph, placed.order), placed.layout)


@pytest.mark.parametrize("name", ["resnet50_batch32"])
def test_the_arena_is_hardly_more_than_the_peak(name):
    path = SHARED / "graphs2" / f"{name}.json.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    point = frontier(load_graph(path), 1, strategy="free")[0]
    placed = place(point.rewritten())
    assert placed.layout.arena_bytes <= CLOSE * placed.peak_bytes
