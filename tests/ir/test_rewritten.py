"""What a rewriting tells of itself."""

from roam_lab.ir import Graph, Op, Storage
from roam_lab.ir.rewritten import Origin, Rewritten, repeated, untouched


def test_ops_that_repeat_one_that_has_run() -> None:
    origins = [Origin((0,)), Origin((1, 2)), Origin((0,)), Origin(()), Origin((2, 3)), Origin((4,))]
    assert repeated(origins) == {2, 4}
    assert repeated([]) == frozenset()


def test_what_is_repeated_and_what_is_copied_to_the_host() -> None:
    storages = (Storage(8), Storage(16, region="host"), Storage(4))
    ops = (
        Op("a", "f", creates=(0,)),
        Op("out", "to", reads=(0,), creates=(1,)),
        Op("back", "to", reads=(1,), creates=(2,)),
        Op("a2", "f"),
    )
    copies = [Origin((), copies=(0, 1)), Origin((), copies=(1, 2))]
    made = Rewritten(Graph("g", storages, ops), (Origin((0,)), *copies, Origin((0,))))
    assert made.recomputed == 1
    assert made.offloaded_bytes == 16


def test_a_rewriting_that_changes_nothing() -> None:
    graph = Graph("g", (Storage(8),), (Op("a", "f", creates=(0,)), Op("b", "f", reads=(0,), writes=(0,))))
    assert untouched(graph).origins == (Origin((0,), (), (0,)), Origin((1,), (0,), (), (0,)))
