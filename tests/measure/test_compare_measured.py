"""Sentences on two peaks that differ: each cause, by curves made by hand."""

from __future__ import annotations

import pytest

from roam_lab.errors import FormatError
from roam_lab.ir.measured import MeasuredCurve, measured_from_data
from roam_lab.measure.compare_measured import compare

MIB = 2**20


def ran(**live: int) -> MeasuredCurve:
    """Operators by name, with the MiB that are alive after each of them."""
    return MeasuredCurve(tuple(live), tuple(size * MIB for size in live.values()), "made up", "cpu")


def said(measured: MeasuredCurve, phases: tuple[str, ...] = (), **predicted: int) -> tuple[str, ...]:
    return compare(measured, [size * MIB for size in predicted.values()], list(predicted), phases)


def test_peaks_within_the_tolerance_need_no_words() -> None:
    assert said(ran(a=100), a=100) == ()
    assert said(ran(a=100), a=95) == said(ran(a=100), a=105) == ()
    assert said(ran(a=100), a=94)
    assert said(ran(a=100), a=106)


def test_the_first_sentence_has_both_peaks_and_their_operators() -> None:
    first = said(ran(a=10, b=60, c=20), a=10, b=20, c=40)[0]
    assert first == "measured peak 60.0 MiB at operator 1 (b) lies 50% above the predicted 40.0 MiB at op 2 (c)"
    assert "lies 50% below the predicted 40.0 MiB" in said(ran(a=20), a=40)[0]
    assert said(ran(), a=40)[0].startswith("measured peak 0 bytes never lies 100% below")
    assert said(ran(a=40))[0].endswith("above the predicted 0 bytes never")


def test_operators_outside_the_graph_by_what_they_allocated() -> None:
    found = said(ran(a=10, small=11, large=90, free=5), a=10)
    assert "operators outside the graph allocated 80.0 MiB: large, small" in found


def test_multi_tensor_operators_are_told_apart() -> None:
    measured = MeasuredCurve(
        ("aten._foreach_mul_.Scalar",) * 2 + ("b",), (50 * MIB, 80 * MIB, 90 * MIB), "made up", "cpu"
    )
    found = compare(measured, [10 * MIB], ["a"])
    assert found[1] == (
        "aten._foreach_mul_.Scalar (2 times) ran as one operator over all parameters, holding 80.0 MiB at once; the "
        "graph splits it into one op a parameter"
    )
    assert found[2] == "operators outside the graph allocated 10.0 MiB: b"


def test_ops_that_did_not_run() -> None:
    found = said(ran(a=10), a=10, b=30, c=70, d=60)
    assert "ops of the graph that the eager step did not run were counted with 60.0 MiB: c, b" in found


def test_of_many_only_the_first_are_listed() -> None:
    labels = [f"op{number}" for number in range(6)]
    found = compare(MeasuredCurve((), (), "made up", "cpu"), [(number + 1) * MIB for number in range(6)], labels)
    assert found[1].endswith("6.0 MiB: op0, op1, op2, op3 and 2 more")


@pytest.mark.parametrize(
    ("measured", "predicted", "phases", "reason"),
    [
        ((10, 60), (10, 20), (), "it added 50.0 MiB, the graph says 10.0 MiB: workspace inside the operator"),
        ((10, 20), (10, 60), (), "it added 10.0 MiB, the graph says 50.0 MiB"),
        ((10, 24), (10, 18), (), "it added 14.0 MiB, the graph says 8.0 MiB: workspace inside the operator"),
        ((10, 18), (10, 24), (), "it added 8.0 MiB, the graph says 14.0 MiB"),
        ((60, 60), (10, 60), (), "operator 0 (a), measured 60.0 MiB, predicted 10.0 MiB at op 0: it added 60.0 MiB"),
        ((10, 60), (10, 20), ("forward", "update"), "eager keeps every gradient until zero_grad"),
        ((10, 20), (10, 60), ("forward", "update"), "it added 10.0 MiB, the graph says 50.0 MiB"),
        ((10, 60), (10, 20), ("update",), "workspace inside the operator"),
    ],
)
def test_where_the_curves_part(
    measured: tuple[int, ...], predicted: tuple[int, ...], phases: tuple[str, ...], reason: str
) -> None:
    found = said(ran(**dict(zip("ab", measured, strict=True)), c=100), phases, a=predicted[0], b=predicted[1])
    (parting,) = [one for one in found if one.startswith("the curves part")]
    assert reason in parting


def test_they_part_slowly_where_storages_live_longer_or_shorter() -> None:
    longer = said(ran(a=100, b=102, c=105, d=107), a=100, b=100, c=100, d=100)[-2]
    assert longer.endswith("storages made before it were released later than the graph says"), longer
    shorter = said(ran(a=100, b=100, c=100, d=100), a=100, b=102, c=105, d=107)[-1]
    assert shorter.endswith("storages made before it were released earlier than the graph says, or never made"), shorter


def test_an_op_is_matched_with_its_own_where_both_ran_as_often() -> None:
    twice = curve(("a", 10 * MIB), ("b", 20 * MIB), ("a", 90 * MIB))
    (parting,) = [one for one in compare(twice, [10 * MIB, 20 * MIB, 40 * MIB], ["a", "b", "a"]) if "part" in one]
    assert parting.startswith("the curves part at operator 2 (a), measured 90.0 MiB, predicted 40.0 MiB at op 2")
    once = compare(twice, [10 * MIB, 20 * MIB], ["a", "b"])
    assert not any(one.startswith("the curves part") for one in once)


def test_what_is_still_held_at_the_end() -> None:
    held = "40.0 MiB more than predicted were still held after the last operator"
    assert said(ran(a=100, b=50), a=60, b=10)[-1].startswith(held)
    assert not any("still held" in one for one in said(ran(a=100, b=13), a=60, b=10))
    assert not any("still held" in one for one in said(ran(a=30, b=10), a=60, b=50))


def curve(*pairs: tuple[str, int]) -> MeasuredCurve:
    labels, live = zip(*pairs, strict=True)
    return MeasuredCurve(labels, live, "made up", "cpu")


PREDICTED = [("aten.mm.default", 40 * MIB), ("aten.add.Tensor", 100 * MIB), ("aten.sum.default", MIB)]


def told(measured: MeasuredCurve) -> tuple[str, ...]:
    labels, live = zip(*PREDICTED, strict=True)
    return compare(measured, live, labels)


def test_compare_says_nothing_within_tolerance() -> None:
    assert told(curve(*PREDICTED)) == ()
    assert told(curve(("aten.mm.default", 104 * MIB))) == ()
    assert compare(MeasuredCurve((), (), "made up", "cpu"), (), ()) == ()


def test_compare_names_both_peaks_and_the_workspace() -> None:
    text = told(curve(PREDICTED[0], ("aten.add.Tensor", 130 * MIB), PREDICTED[2]))
    assert text[0] == (
        "measured peak 130.0 MiB at operator 1 (aten.add.Tensor) lies 30% above the predicted 100.0 MiB "
        "at op 1 (aten.add.Tensor)"
    )
    assert "part at operator 1 (aten.add.Tensor)" in text[1]
    assert "it added 90.0 MiB, the graph says 60.0 MiB: workspace inside the operator" in text[1]


def test_compare_names_ops_outside_the_graph() -> None:
    text = told(curve(PREDICTED[0], ("custom.cache.default", 90 * MIB), ("aten.add.Tensor", 150 * MIB), PREDICTED[2]))
    assert "operators outside the graph allocated 50.0 MiB: custom.cache.default" in text[1]
    assert "released later than the graph says" in text[2]


def test_compare_names_split_multi_tensor_ops() -> None:
    text = told(curve(*PREDICTED[:2], ("aten._foreach_sqrt.default", 180 * MIB), PREDICTED[2]))
    assert "aten._foreach_sqrt.default ran as one operator over all parameters, holding 80.0 MiB" in text[1]


def test_compare_knows_that_eager_keeps_gradients() -> None:
    labels, live = zip(*PREDICTED, strict=True)
    measured = curve(PREDICTED[0], ("aten.add.Tensor", 130 * MIB), PREDICTED[2])
    text = compare(measured, live, labels, ("backward", "update", "update"))
    assert text[1].endswith("eager keeps every gradient until zero_grad, the graph lets each go after its last use")


def test_compare_passes_over_labels_that_do_not_pair() -> None:
    """Two of one target here, one there: which is which cannot be told, so the next that pairs is named."""
    measured = curve(PREDICTED[0], ("aten.add.Tensor", 50 * MIB), *PREDICTED[1:2], ("aten.sum.default", 150 * MIB))
    text = told(measured)
    assert "the curves part at operator 3 (aten.sum.default)" in text[2]


def test_compare_names_what_did_not_run_and_what_stayed() -> None:
    text = told(curve(PREDICTED[0], ("aten.sum.default", 40 * MIB)))
    assert "did not run were counted with 60.0 MiB: aten.add.Tensor" in text[1]
    text = told(curve(*PREDICTED[:2], ("aten.sum.default", 120 * MIB)))
    assert text[-1].startswith("119.0 MiB more than predicted were still held after the last operator")
    assert "cached workspace" in text[-1]


def test_measured_data_is_checked() -> None:
    with pytest.raises(FormatError, match="2 labels and 1 live_bytes"):
        MeasuredCurve(("a", "b"), (1,), "made up", "cpu")
    with pytest.raises(FormatError, match="no how"):
        measured_from_data({"labels": [], "live_bytes": []})
