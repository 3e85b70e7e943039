"""The check of rewritten graphs finds what the judge finds: every way to go wrong, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roam_lab.errors import JudgementError
from roam_lab.ir import Device, Graph, Op, Origin, Rewritten, Storage, check_rewritten, untouched
from roam_lab.ir.check_rewritten import TIME_SLACK_US

A, B, C, W, NEW, HOST = range(6)
STORAGES = (
    Storage(8),
    Storage(8),
    Storage(8, output=True),
    Storage(4, region="resident"),
)
GRAPH = Graph(
    "g",
    STORAGES,
    (
        Op("make", "t", creates=(A,), reads=(W,), pure=True, time_us=4.0, rows=2),
        Op("use", "t", after=(0,), creates=(B,), reads=(A,), pure=True, reuse=((B, A),), time_us=2.0, rows=2),
        Op("draw", "t", after=(1,), reads=(B,), writes=(B,), pure=False, random=True, time_us=1.0, rows=2),
        Op("end", "t", after=(0, 2), creates=(C,), reads=(A, B), pure=True, time_us=3.0),
        Op("update", "t", after=(3,), reads=(W, C), writes=(W,), pure=False, random=True, time_us=1.0),
    ),
)


def with_copy(**changes: object) -> Rewritten:
    """`make` runs again before `end`, into a new storage."""
    copy = replace(GRAPH.ops[0], name="make_copy1", after=(), creates=(NEW,))
    end = replace(GRAPH.ops[3], after=(0, 2, 3), reads=(NEW, B))
    ops = [*GRAPH.ops[:3], replace(copy, **changes), end, replace(GRAPH.ops[4], after=(4,))]  # type: ignore[arg-type]
    origins = [
        *untouched(GRAPH).origins[:3],
        Origin((0,), (W,), (NEW,)),
        Origin((3,), (NEW, B), (C,)),
        Origin((4,), (W, C), (), (W,)),
    ]
    return Rewritten(Graph("g", (*STORAGES, Storage(8)), tuple(ops)), tuple(origins))


def moved(rewritten: Rewritten, index: int, **changes: object) -> Rewritten:
    origins = list(rewritten.origins)
    origins[index] = replace(origins[index], **changes)  # type: ignore[arg-type]
    return Rewritten(rewritten.graph, tuple(origins))


def check(rewritten: Rewritten, order: list[int] | None = None) -> None:
    check_rewritten(GRAPH, rewritten, order or list(range(len(rewritten.graph.ops))))


def test_what_is_right_passes() -> None:
    check(untouched(GRAPH))
    check(with_copy())
    assert with_copy().recomputed == 1


def test_a_fused_op_with_what_passes_inside() -> None:
    fused = Op("fused", "f", creates=(A,), reads=(W,), writes=(), pure=False, random=True, time_us=7.0, rows=2)
    origin = Origin((0, 1, 2), (W, None, None), (A, None), (B,))
    both = replace(fused, creates=(A, B))
    ops = (both, replace(GRAPH.ops[3], after=(0,)), replace(GRAPH.ops[4], after=(1,)))
    whole = Rewritten(Graph("g", STORAGES, ops), (origin, *untouched(GRAPH).origins[3:]))
    check(whole)
    cheaper = replace(both, time_us=3.0)
    with pytest.raises(JudgementError, match=r"claims 3\.0 us; its origins take \[4\.0, 2\.0, 1\.0\]"):
        check(Rewritten(Graph("g", STORAGES, (cheaper, *ops[1:])), whole.origins))


WRONG = {
    "reads another value": (moved(with_copy(), 4, reads=(B, B)), "needs .* and finds"),
    "reads less": (moved(with_copy(), 4, reads=(NEW,)), "reads less than its origin 3"),
    "keeps fewer results": (moved(with_copy(), 3, results=()), "keeps fewer results than its origin 0"),
    "writes less": (moved(with_copy(), 5, writes=()), "writes less than its origin 4"),
    "leaves it elsewhere": (moved(with_copy(), 3, results=(C,)), "which it neither makes nor writes"),
    "claims less time": (with_copy(time_us=1.0), "claims 1.0 us"),
    "no origin": (moved(with_copy(), 3, ops=(9,)), "has no op of the graph before as its origin"),
    "other rows": (moved(with_copy(), 3, ops=(0, 3), reads=(W, A, B), results=(NEW, None)), "claims|equally many"),
}


def fused(time_us: float, rows: int | None = 2, **changes: object) -> Rewritten:
    """The first two ops as one that takes so long; `changes` of its origin."""
    one = Op("fused", "f", creates=(A, B), reads=(W,), pure=True, time_us=time_us, rows=rows)
    origin = replace(Origin((0, 1), (W, None), (A, B)), **changes)  # type: ignore[arg-type]
    rest = (replace(GRAPH.ops[2], after=(0,)), replace(GRAPH.ops[3], after=(0, 1)), replace(GRAPH.ops[4], after=(2,)))
    return Rewritten(Graph("g", STORAGES, (one, *rest)), (origin, *untouched(GRAPH).origins[2:]))


def on_a_device(graph: Graph, fused_share: float) -> Graph:
    return replace(graph, device=Device(1.0, 1.0, 1.0, 1, 1.0, fused_share))


def test_the_time_of_a_fused_op_is_no_less_than_its_longest_part_and_the_share_of_their_sum() -> None:
    check(fused(6.0))
    check(fused(6.0 - TIME_SLACK_US * 2))  # what rounding may take from each part
    check(fused(7.0))  # more may be claimed
    with pytest.raises(JudgementError, match=r"claims 5\.9 us; its origins take \[4\.0, 2\.0\]"):
        check(fused(5.9))
    check_rewritten(on_a_device(GRAPH, 0.75), fused(4.5), range(4))
    with pytest.raises(JudgementError, match=r"claims 4\.4 us"):
        check_rewritten(on_a_device(GRAPH, 0.75), fused(4.4), range(4))
    check_rewritten(on_a_device(GRAPH, 0.1), fused(4.0), range(4))
    with pytest.raises(JudgementError, match=r"claims 3\.9 us"):
        check_rewritten(on_a_device(GRAPH, 0.1), fused(3.9), range(4))


def test_the_time_of_a_single_op_is_that_of_its_origin() -> None:
    check(with_copy(time_us=4.0005))
    check(with_copy(time_us=3.9995))
    for wrong in (3.99, 4.01):
        with pytest.raises(JudgementError, match=f"claims {wrong} us"):
            check(with_copy(time_us=wrong))
    untimed = replace(GRAPH, ops=tuple(replace(op, time_us=None) for op in GRAPH.ops))
    check_rewritten(untimed, with_copy(time_us=1.0), range(6))


def test_only_ops_of_equally_many_rows_are_fused() -> None:
    for rows in (3, None):
        other = replace(GRAPH, ops=(replace(GRAPH.ops[0], rows=rows), *GRAPH.ops[1:]))
        with pytest.raises(JudgementError, match=r"fuses ops \[0, 1\], which are not of equally many independent rows"):
            check_rewritten(other, fused(6.0), range(4))
    unknown = replace(GRAPH, ops=tuple(replace(op, rows=None) for op in GRAPH.ops))
    with pytest.raises(JudgementError, match="equally many independent rows"):
        check_rewritten(unknown, fused(6.0), range(4))


def test_what_a_fused_op_keeps_to_itself_only_it_can_read() -> None:
    with pytest.raises(JudgementError, match=r"from op 2, needs .* and finds"):
        check(fused(6.0, results=(A, None)))
    with pytest.raises(JudgementError, match=r"from op 1, needs .* and finds None in None"):
        check(moved(untouched(GRAPH), 1, reads=(None,)))
    with pytest.raises(JudgementError, match="reads storage 1, which it does not list"):
        check(moved(untouched(GRAPH), 1, reads=(B,)))


def test_a_result_needs_a_storage_as_large_as_its_own() -> None:
    copy = with_copy()
    smaller = (*STORAGES, Storage(7))
    with pytest.raises(JudgementError, match="puts storage 0 into 4, which is smaller"):
        check(Rewritten(replace(copy.graph, storages=smaller), copy.origins))
    check(Rewritten(replace(copy.graph, storages=(*STORAGES, Storage(9))), copy.origins))


def test_what_stays_ends_with_its_value_and_random_numbers_come_in_sequence() -> None:
    """Random numbers are drawn by ops 2 and 4; the graph's own dependences keep their sequence, so it is taken away."""
    free = replace(GRAPH, ops=(*GRAPH.ops[:2], replace(GRAPH.ops[2], writes=(), creates=()), *GRAPH.ops[3:]))
    origins = (*untouched(GRAPH).origins[:2], Origin((2,), (B,)), *untouched(GRAPH).origins[3:])
    check_rewritten(free, Rewritten(free, origins), range(5))
    with pytest.raises(JudgementError, match="ops that draw random numbers run in another order than captured"):
        check_rewritten(free, Rewritten(free, origins), [0, 1, 3, 4, 2])
    dropped = replace(GRAPH, ops=GRAPH.ops[:3])
    with pytest.raises(JudgementError, match=r"storage 2 ends with None, not \('made', 3, 0\)"):
        check_rewritten(replace(GRAPH, ops=GRAPH.ops[:4]), Rewritten(dropped, untouched(GRAPH).origins[:3]), range(3))


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    rewritten, wording = WRONG[name]
    with pytest.raises(JudgementError, match=wording):
        check(rewritten)


def test_what_must_run_runs_once_and_in_sequence() -> None:
    whole = untouched(GRAPH)
    with pytest.raises(JudgementError, match=r"op 4 \(update\) is dropped"):
        check(whole, [0, 1, 2, 3])
    draw = Op("draw", "t", creates=(0,), pure=False, random=True)
    use = Op("use", "t", after=(0,), creates=(1,), reads=(0,), pure=True)
    graph = Graph("g", (Storage(8), Storage(8, output=True)), (draw, use))
    twice = (draw, replace(draw, creates=(2,)), replace(use, after=(1,), reads=(2,)))
    origins = (Origin((0,), (), (0,)), Origin((0,), (), (2,)), Origin((1,), (2,), (1,)))
    again = Rewritten(Graph("g", (*graph.storages, Storage(8)), twice), origins)
    with pytest.raises(JudgementError, match=r"op 0 \(draw\) runs 2 times, and is not pure"):
        check_rewritten(graph, again, [0, 1, 2])


def test_storages_of_the_graph_stay_as_they_are() -> None:
    larger = Graph("g", (replace(STORAGES[0], bytes=16), *STORAGES[1:]), GRAPH.ops)
    with pytest.raises(JudgementError, match="storage 0 was changed by the rewriting"):
        check(Rewritten(larger, untouched(GRAPH).origins))
    more = replace(GRAPH, storages=(*STORAGES, Storage(8)))
    with pytest.raises(JudgementError, match="storage 4 was changed by the rewriting"):
        check_rewritten(more, untouched(GRAPH), range(5))
    with pytest.raises(JudgementError, match="4 origins are given for 5 ops"):
        check(Rewritten(GRAPH, untouched(GRAPH).origins[:4]))


def test_a_move_to_the_host_and_back() -> None:
    storages = (*STORAGES, Storage(8), Storage(8, region="host"))
    out = Op("out", "roam::to_host", after=(0,), reads=(A,), writes=(HOST,), pure=False)
    back = Op("back", "roam::to_device", after=(2,), creates=(NEW,), reads=(HOST,), pure=False)
    first, use, draw, end, update = GRAPH.ops
    ops = (
        first,
        replace(use, after=(0,)),
        out,
        replace(draw, after=(1,)),
        back,
        replace(end, after=(3, 4), reads=(NEW, B)),
        replace(update, after=(5,)),
    )
    origins = untouched(GRAPH).origins
    given = (
        *origins[:2],
        Origin((), copies=(A, HOST)),
        origins[2],
        Origin((), copies=(HOST, NEW)),
        Origin((3,), (NEW, B), (C,)),
        origins[4],
    )
    check(Rewritten(Graph("g", storages, ops), given))
    assert Rewritten(Graph("g", storages, ops), given).offloaded_bytes == 8
    wrong = (*given[:2], Origin((), copies=(B, HOST)), *given[3:])
    with pytest.raises(JudgementError, match="copies storage 1 to 5, and does not list them"):
        check(Rewritten(Graph("g", storages, ops), wrong))
    small = (*storages[:HOST], Storage(4, region="host"))
    with pytest.raises(JudgementError, match="copies between storages of different sizes"):
        check(Rewritten(Graph("g", small, ops), given))
    early = Rewritten(Graph("g", storages, ops), given)
    with pytest.raises(JudgementError, match=r"op 4 .* copies storage 5, which holds nothing"):
        check(early, [4, 0, 1, 2, 3, 5, 6])
