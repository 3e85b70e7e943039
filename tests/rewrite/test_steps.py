"""Chains that become single ops again where that costs no memory."""

from roam_lab.rewrite.frontier import frontier
from tests.rewrite.graphs import Writer, judged


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
