"""Memory over sizes: what is captured, what lies between and what is extrapolated, told apart."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from roam_lab.plan.devices import GIB, Device
from roam_lab.plan.fit import Fit
from roam_lab.plan.runs import Point
from roam_lab.report.pictures.sizes import sizes_picture
from roam_lab.report.pictures.ways import ways_picture
from roam_lab.report.views.labels import Font
from roam_lab.report.views.sizes import SizesView, sizes_view
from roam_lab.report.views.ways import Bar, ways_view

GPUS = (Device("small", 6 * GIB, GIB, 1.0), Device("twin", 6 * GIB, GIB, 2.0), Device("large", 11 * GIB, GIB, 4.0))
POINTS = tuple(
    Point(size, GIB, size * GIB, size * GIB // 2, None, {0.05: size * GIB // 4, 0.1: 1, 0.25: size * GIB // 8})
    for size in (2, 8)
)


@pytest.fixture(scope="module")
def view() -> SizesView:
    machine = Device("this machine's RAM", 24 * GIB)
    return sizes_view(Fit("<i>&", POINTS, (machine, *GPUS), fixed=128), (2, 2 * GIB))


def test_captured_between_and_beyond_are_told_apart(view: SizesView) -> None:
    assert [curve.name for curve in view.curves] == ["eager", "planned", "+5 % time", "+25 % time"]
    eager, planned = view.curves[:2]
    assert eager.points == ((2, 3 * GIB), (8, 9 * GIB))
    assert all(2 <= size <= 8 for size, _ in planned.known)
    before, after = planned.beyond
    assert max(size for size, _ in before) == 2
    assert min(size for size, _ in after) == 8
    assert eager.beyond[-1][-1][1] == pytest.approx(view.end_bytes, rel=1e-6)  # it ends where it leaves the plot
    assert view.end_size == pytest.approx(19 * 1.04)  # planned fills the 10 GiB of the largest GPU at 18


def test_gpus_of_one_memory_are_one_line_and_ram_is_none(view: SizesView) -> None:
    assert [(line.name, line.bytes) for line in view.lines] == [("small, twin", 5 * GIB), ("large", 10 * GIB)]
    assert "RAM" not in view.alt


def test_words_and_table_hold_every_captured_figure(view: SizesView) -> None:
    assert "eager: 3.00 GiB at 2, 9.00 GiB at 8" in view.alt
    assert view.table.rows[0][:3] == (2, 3 * GIB, 2 * GIB)
    assert view.x_label == "batch size (at sequence length 128)"
    assert sizes_view(Fit("f", POINTS, GPUS, "sequence length", 4)).x_label == "sequence length (at batch size 4)"


def test_names_stand_apart(view: SizesView) -> None:
    font = Font(6.6, 14.0)
    labels = view.labels(760, 300, font)
    assert {"this plan: 2.00 GiB", "small, twin", "eager"} <= {label.text for label in labels}
    boxes = [
        (label.x * 760 - len(label.text) * 6.6 * label.before, label.y * 300, len(label.text) * 6.6) for label in labels
    ]
    for number, (x, y, wide) in enumerate(boxes):
        for left, low, other in boxes[:number]:
            assert x + wide <= left or left + other <= x or abs(y - low) >= 14 - 1e-6


def test_the_picture_is_legal_and_dashes_what_is_extrapolated(view: SizesView) -> None:
    drawn = sizes_picture(view)
    root = ElementTree.fromstring(drawn)
    lines = [path for path in root.iter("{http://www.w3.org/2000/svg}path") if "line" in (path.get("class") or "")]
    dashed = [path for path in lines if path.get("stroke-dasharray")]
    assert len(lines) - len(dashed) == 4
    assert len(dashed) == sum(len(curve.beyond) for curve in view.curves) > 4
    assert "extrapolated" in drawn
    assert "<i>&" not in drawn


def test_a_need_that_does_not_grow_and_no_gpu_are_drawn() -> None:
    flat = tuple(Point(size, GIB, GIB, GIB) for size in (1, 2))
    for devices in (GPUS, ()):
        seen = sizes_view(Fit("flat", flat, devices))
        assert seen.end_size >= 2
        ElementTree.fromstring(sizes_picture(seen))
    ElementTree.fromstring(sizes_picture(sizes_view(Fit("one", flat[:1], GPUS))))


def test_bars_of_ways() -> None:
    bars = (Bar("plain <b>", 6 * GIB, "simulated", False), Bar("this plan", 3 * GIB, "laid out", True))
    seen = ways_view("step", bars, GPUS)
    assert [line.name for line in seen.lines] == ["small, twin", "large"]  # the next one above
    assert "this plan: 3.00 GiB" in seen.alt
    assert seen.table.rows[1] == ("this plan", 3 * GIB, "3.00 GiB", "laid out")
    drawn = ways_picture(seen)
    ElementTree.fromstring(drawn)
    assert "plain <b>" not in drawn
    ElementTree.fromstring(ways_picture(ways_view("", (Bar("none", 0, "", False),), ())))
