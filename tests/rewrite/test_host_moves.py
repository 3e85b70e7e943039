"""Copies to the host and back, written out as ops with their dependences."""

from roam_lab.ir import untouched
from roam_lab.rewrite.host_moves import COPY, HostMove, with_moves
from tests.rewrite.graphs import Writer, judged


def test_who_uses_what_came_back_follows_its_copy():
    write = Writer()
    kept, other, end = (write.storage(100) for _ in range(3))
    write.op((kept,))
    write.op((other,))
    write.op((end,), (kept, other))
    write.op((), (kept,), (end,))
    graph = write.graph()
    made = with_moves(untouched(graph), [HostMove(kept, 1, 2)])
    judged(graph, made)
    assert [op.target == COPY for op in made.graph.ops] == [False, True, False, True, False, False]
    (back,) = made.graph.ops[3].creates
    users = [op for op in made.graph.ops if back in op.reads]
    assert [op.name for op in users] == ["op_2", "op_3"]
    assert all(3 in op.after for op in users)
    assert 1 in made.graph.ops[3].after  # it follows the copy to the host
    assert 0 in made.graph.ops[1].after  # which follows the op that made the storage
    assert not any(1 in op.after or 3 in op.after for op in made.graph.ops[:3])
