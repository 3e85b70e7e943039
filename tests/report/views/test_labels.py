"""Names beside points: none is lost, none leaves the plot, no two meet, however close the points are."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roam_lab.ir.measured import MeasuredCurve
from roam_lab.plan import Profile, make_plan
from roam_lab.report.views.labels import ASIDE, Font, placed, room_for
from roam_lab.report.views.memory import memory_view
from roam_lab.report.views.pareto import pareto_view
from tests.report.graphs import branches

FONT = Font(6.0, 13.0)
WIDTH = 400.0

near = st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.1]).flatmap(lambda wide: st.floats(0, wide))
points = st.tuples(
    st.floats(0, 0.9), st.floats(0, 0.9), st.lists(st.tuples(near, near, st.integers(1, 90)), max_size=12)
)


def box(label, width, height, font=FONT):
    """Left, right, bottom, top of its letters in a plot of that size, in pixels."""
    wide = len(label.text) * font.letter
    left = label.x * width + (-ASIDE - wide if label.before else ASIDE)
    return left, left + wide, label.y * height, label.y * height + font.line


def meet(one, other):
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] - 1e-3 and other[2] < one[3] - 1e-3


@given(points, st.floats(1, 4), st.floats(1, 2))
@example((0.5, 0.5, [(0.0, 0.0, 40)] * 12), 1.0, 1.0)
@example((0.498, 0.9, [(0.0, 0.0, 20), (0.02, 0.0, 60)]), 4.0, 1.0)  # they look at each other
@settings(derandomize=True, deadline=None, max_examples=300)
def test_close_points(drawn, wider, higher):
    x, y, offsets = drawn
    close = [(x + dx, y + dy, f"{number:02}" + "n" * letters) for number, (dx, dy, letters) in enumerate(offsets)]
    height = max(200.0, room_for(len(close), FONT))
    labels = placed(close, WIDTH, height, FONT)
    assert [label.text[:2] for label in labels] == [name[:2] for *_, name in close]
    assert [label.x for label in labels] == [x for x, *_ in close]
    for label, (_, _, name) in zip(labels, close, strict=True):
        left, right, bottom, top = box(label, WIDTH, height)
        assert left >= -1e-3
        assert right <= WIDTH + 1e-3
        assert bottom >= -1e-3
        assert top <= height + 1e-3
        assert label.text == name or (label.text.endswith("…") and name.startswith(label.text[:-1]))
    for width, tall in ((WIDTH, height), (WIDTH * wider, height * higher)):  # a plot drawn larger than was asked for
        boxes = [box(label, width, tall) for label in labels]
        assert not [pair for pair in combinations(boxes, 2) if meet(*pair)]


def test_a_name_alone_stands_right_above_its_point():
    (alone,) = placed([(0.2, 0.5, "alone")], WIDTH, 200, FONT)
    assert (alone.before, alone.moved) == (False, False)
    assert 0 < alone.y * 200 - 100 < FONT.line
    (late,) = placed([(0.95, 0.5, "late one")], WIDTH, 200, FONT)
    assert late.before
    (top,) = placed([(0.2, 1.0, "top")], WIDTH, 200, FONT)
    assert top.y * 200 + FONT.line <= 200


def test_names_keep_off_markers_and_off_the_line_through_their_point():
    row = [(0.1 + number * 0.02, 0.5, f"plan {number}") for number in range(6)]
    labels = placed(row, WIDTH, 300, FONT)
    for label in labels:
        left, right, bottom, top = box(label, WIDTH, 300)
        assert not bottom < 150 < top
        for x, *_ in row:
            assert not meet((left, right, bottom, top), (x * WIDTH - 5, x * WIDTH + 5, 145, 155))
    assert any(label.moved for label in labels)


def test_names_of_peaks_say_whose_they_are():
    plan = make_plan(branches(), order="captured")
    measured = MeasuredCurve(tuple(op.target for op in branches().ops), (204 * 1024,) * 6, "a tracker", "cpu")
    view = memory_view(plan, Profile(graph=branches(), measured=measured))
    message = [label.text for label in view.labels(900, 300, FONT)]
    assert message == ["eager peak: wide_b · <b>&", "planned peak: wide_b · <b>&", "measured peak: aten.mul.Tensor"]
    boxes = [box(label, 900, 300) for label in view.labels(900, 300, FONT)]
    assert not [pair for pair in combinations(boxes, 2) if meet(*pair)]
    assert min(bottom for _, _, bottom, _ in boxes) >= 300 * view.top_bytes / view.end_bytes  # above all curves
    without = memory_view(plan).labels(900, 300, FONT)
    assert [label.text.split(":")[0] for label in without] == ["captured peak", "planned peak"]


@pytest.mark.parametrize("count", [1, 3, 40])
def test_names_of_plans(count):
    plan = make_plan(branches())
    plans = {f"{'long ' * 8}{number:02}": replace(plan, arena_bytes=10**6 + number % 3) for number in range(count)}
    view = pareto_view(plans)
    height = max(280, room_for(count, FONT))
    labels = view.labels(760, height, FONT)
    assert [label.text[-2:] for label in labels] == [f"{number:02}" for number in range(count)]
    assert not [pair for pair in combinations([box(label, 760, height) for label in labels], 2) if meet(*pair)]
