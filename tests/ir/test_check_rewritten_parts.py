"""The check of rewritten graphs, part by part: what must run, what must stay, what takes time, what is listed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roam_lab.errors import JudgementError
from roam_lab.ir import Graph, Op, Origin, Rewritten, Storage, check_rewritten, untouched
from tests.ir.test_check_rewritten import GRAPH, HOST, NEW, STORAGES, A, B, check, moved, with_copy


def one_op(**more: object) -> tuple[Graph, Rewritten, Rewritten]:
    """A graph of an op and a result, and rewritings in which the op runs not at all, and twice."""
    op = Op("one", "t", **more)  # type: ignore[arg-type]
    keep = Op("keep", "t", creates=(1,), pure=True)
    graph = Graph("g", (Storage(8, region="resident"), Storage(8, output=True)), (op, keep))
    origin, kept = untouched(graph).origins
    twice = Rewritten(replace(graph, ops=(op, op, keep)), (origin, origin, kept))
    return graph, Rewritten(replace(graph, ops=(keep,)), (kept,)), twice


def test_what_writes_or_draws_must_run_and_only_what_is_pure_may_run_twice() -> None:
    for more in ({"random": True}, {"writes": (0,)}):
        graph, dropped, twice = one_op(pure=False, **more)
        with pytest.raises(JudgementError, match=r"op 0 \(one\) is dropped, and it writes or draws"):
            check_rewritten(graph, dropped, range(1))
        with pytest.raises(JudgementError, match=r"op 0 \(one\) runs 2 times, and is not pure"):
            check_rewritten(graph, twice, range(3))
    graph, dropped, twice = one_op(pure=True)
    check_rewritten(graph, dropped, range(1))
    check_rewritten(graph, twice, range(3))
    check_rewritten(*one_op(pure=False)[:2], range(1))  # it leaves nothing


def test_residents_and_outputs_end_with_their_values_and_nothing_else_need() -> None:
    write = Op("write", "t", creates=(1,), writes=(0,), pure=False)
    storages = (Storage(8, region="resident"), Storage(8), Storage(8, region="resident"))
    graph = Graph("g", storages, (write,))
    check_rewritten(graph, Rewritten(graph, (Origin((0,), (), (None,), (0,)),)), range(1))
    elsewhere = Rewritten(replace(graph, ops=(replace(write, writes=(2,)),)), (Origin((0,), (), (1,), (2,)),))
    with pytest.raises(JudgementError, match="storage 0 ends with"):
        check_rewritten(graph, elsewhere, range(1))
    nowhere = Rewritten(graph, (Origin((0,), (), (1,), (None,)),))
    with pytest.raises(JudgementError, match=r"storage 0 ends with \('start', 0\), not \('written', 0, 0\)"):
        check_rewritten(graph, nowhere, range(1))


@pytest.mark.parametrize("changes", [{"bytes": 9}, {"region": "op"}, {"output": True}])
def test_no_part_of_a_storage_may_change_but_what_it_is_called(changes: dict[str, object]) -> None:
    changed = replace(GRAPH, storages=(replace(STORAGES[0], **changes), *STORAGES[1:]))  # type: ignore[arg-type]
    with pytest.raises(JudgementError, match="storage 0 was changed by the rewriting"):
        check(Rewritten(changed, untouched(GRAPH).origins))
    called = replace(GRAPH, storages=(replace(STORAGES[0], kind="other", dtype="x"), *STORAGES[1:]))
    check(Rewritten(called, untouched(GRAPH).origins))


def test_an_op_without_a_time_takes_none() -> None:
    untimed = replace(GRAPH, ops=(replace(GRAPH.ops[0], time_us=None), *GRAPH.ops[1:]))
    check_rewritten(untimed, untouched(untimed), range(5))
    with pytest.raises(JudgementError, match=r"op 0 \(make\) claims 4\.0 us"):
        check_rewritten(untimed, untouched(GRAPH), range(5))
    with pytest.raises(JudgementError, match=r"op 3 \(make_copy1\) claims 0\.0 us"):
        check(with_copy(time_us=None))


def test_a_random_op_that_is_pure_counts_where_it_runs_first() -> None:
    """One whose seed is given draws the same again."""
    ops = (
        Op("a", "t", creates=(0,), random=True, pure=True),
        Op("b", "t", creates=(1,), random=True, pure=True),
    )
    graph = Graph("g", (Storage(8), Storage(8)), ops)
    origins = untouched(graph).origins
    again = Rewritten(replace(graph, ops=(*ops, Op("a2", "t", creates=(2,), pure=True)), storages=(Storage(8),) * 3),
                      (*origins, Origin((0,), (), (2,))))  # fmt: skip
    check_rewritten(graph, again, range(3))
    with pytest.raises(JudgementError, match="in another order than captured"):
        check_rewritten(graph, again, [1, 0, 2])
    check_rewritten(graph, again, [2, 1, 0])


def test_a_copy_lists_both_of_its_storages_and_an_origin_names_ops_of_the_graph() -> None:
    storages = (*STORAGES, Storage(8), Storage(8))
    for listed, copies in (((A, NEW), (A, HOST)), ((A, HOST), (B, HOST))):
        copy = Op("copy", "t", after=(1,), reads=listed[:1], creates=listed[1:], pure=True)
        graph = Graph("g", storages, (*GRAPH.ops, copy))
        with pytest.raises(JudgementError, match=f"copies storage {copies[0]} to 5, and does not list them"):
            check(Rewritten(graph, (*untouched(GRAPH).origins, Origin((), copies=copies))))
    for ops in ((), (5,), (-1,)):
        with pytest.raises(JudgementError, match=r"op 0 \(make\) has no op of the graph before as its origin"):
            check(moved(untouched(GRAPH), 0, ops=ops))
