"""The dependences of a rewritten graph while its ops are appended."""

from roam_lab.ir import Graph, Op, Storage
from roam_lab.rewrite.dependences import Dependences


def of(*ops: Op) -> Dependences:
    return Dependences(Graph("g", (Storage(8), Storage(8), Storage(8)), ops))


def test_a_read_follows_the_last_write_and_a_change_follows_readers_and_writer():
    known = of(*(Op(f"op_{number}", "t") for number in range(6)))
    assert known.of([0], [], [], [0]) == ()
    assert known.of([1], [0], [], [1]) == (0,)
    assert known.of([2], [0, None], [], []) == (0,)
    assert known.of([3], [0], [0], []) == (0, 1, 2)
    assert known.of([4], [0, 1], [], []) == (1, 3)
    assert known.of([5], [], [0], []) == (3, 4)  # readers from before the last change are behind it


def test_random_numbers_are_drawn_in_captured_sequence():
    known = of(Op("a", "t", random=True), Op("b", "t"), Op("c", "t", random=True))
    assert known.of([0], [], [], [0]) == ()
    assert known.of([1], [], [], [1]) == ()
    assert known.of([2], [], [], [2]) == (0,)


def test_what_no_storage_explains_is_kept_and_never_of_an_op_on_itself():
    ops = (Op("a", "t", creates=(0,)), Op("b", "t", after=(0,), creates=(1,)), Op("c", "t", after=(0,), reads=(0,)))
    known = of(*ops)
    assert known.of([0], [], [], [0]) == ()
    assert known.of([1], [], [], [1]) == (0,)
    assert known.of([2], [], [], []) == ()  # explained by storage 0, which this copy does not read
    fused = of(*ops)
    assert fused.of([0, 1], [], [], [0, 1]) == ()
