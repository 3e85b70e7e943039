"""The memory curve: well-formed, told in words, small, and without ids that would clash in a page."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from roam_lab.ir.measured import MeasuredCurve
from roam_lab.plan import Profile, make_plan
from roam_lab.report.svg import Curve, memory_svg, plan_svg, profile_svg
from roam_lab.report.text import profile_text
from tests.report.graphs import branches, chain

NAMESPACE = "{http://www.w3.org/2000/svg}"


def parsed(svg):
    return ElementTree.fromstring(svg)


def test_plan_svg_tells_every_curve_in_words():
    svg = plan_svg(make_plan(branches()))
    root = parsed(svg)
    assert root.attrib["role"] == "img"
    assert root.find(f"{NAMESPACE}title").text == "Memory over one training step of branches"
    told = root.find(f"{NAMESPACE}desc").text
    assert "captured order: peak 204.0 KiB" in told
    assert "proven lower bound of any order: 105.0 KiB" in told
    shown = "".join(root.itertext())
    assert "live bytes above resident, KiB" in shown
    assert "step (operators run)" in shown
    assert "id=" not in svg


def test_names_are_escaped():
    svg = memory_svg('<script>"&', [Curve("captured", "a < b & c", np.array([1, 2]))])
    assert "<script>" not in svg
    assert parsed(svg).find(f"{NAMESPACE}title").text.endswith('<script>"&')


def test_control_characters_do_not_break_the_document():
    assert parsed(memory_svg("a\x00b\x1b[31m", [Curve("captured", "c", np.array([1]))])) is not None


@pytest.mark.parametrize("count", [1, 2, 2000, 10_000, 100_000])
def test_size_stays_small_and_the_peak_is_kept(count):
    values = np.random.default_rng(0).integers(0, 10**9, count)
    values[count // 3] = 2 * 10**9
    curves = [Curve("captured", "a", values), Curve("planned", "b", values), Curve("measured", "c", values)]
    svg = memory_svg("long", curves, 10**9)
    assert len(svg.encode()) < 200_000
    parsed(svg)
    heights = [float(y) for y in re.findall(r"V([\d.]+)", svg)] + [float(y) for y in re.findall(r"M76 ([\d.]+)H", svg)]
    dots = {float(y) for y in re.findall(r'cy="([\d.]+)"', svg)}
    assert len(dots) == 1
    if count > 1:
        assert min(heights) == min(dots)


def test_no_curve_and_no_bytes_are_drawn_too():
    assert parsed(memory_svg("nothing", [Curve("captured", "empty", np.array([], dtype=np.int64))], 0)) is not None
    assert parsed(plan_svg(make_plan(chain(0)))) is not None


def test_a_curve_of_another_length_is_stretched():
    svg = memory_svg("two", [Curve("captured", "a", np.arange(9)), Curve("planned", "b", np.arange(5))])
    assert "share of the step&#x27;s operators run, %" in svg


def test_a_measured_curve_is_lined_up_with_the_graph():
    graph = branches()
    labels = [label for op in graph.ops for label in ("aten.view.default", op.target)]
    measured = MeasuredCurve(tuple(labels), tuple(range(1, 13)), "a tracker", "cpu")
    svg = profile_svg(Profile(graph=graph, measured=measured))
    assert "measured eager (cpu): peak 12 B" in svg
    assert "step (operators run)" in svg  # views take no width, so the steps are the graph's
    ends = re.findall(r'class="line measured"[^>]* d="M76 [^"]*H([\d.]+)V[\d.]+"', svg)
    assert ends == [f"{76 + 762:.1f}"]
    foreign = MeasuredCurve(("a", "b"), (5, 9), "a tracker", "cpu")
    assert "peak 9 B" in profile_svg(Profile(graph=graph, measured=foreign))
    told = "".join(parsed(profile_svg(Profile(graph=graph))).itertext())
    assert "measured eager" not in told


def test_lines_differ_by_dashes_as_well_as_by_colour():
    measured = MeasuredCurve(("a",) * 6, (1,) * 6, "a tracker", "cpu")
    svg = plan_svg(make_plan(branches()), Profile(graph=branches(), measured=measured))
    dashes = dict(re.findall(r'class="line (\w+)" stroke-dasharray="([\d ]+)"', svg))
    assert set(dashes) == {"captured", "bound", "measured"}  # the planned one is solid
    assert len(set(dashes.values())) == 3


def test_the_captured_figures_are_those_of_eager():
    profile = Profile(graph=chain(4), eager_graph=branches())
    assert "captured order (eager): peak 204.0 KiB" in plan_svg(make_plan(chain(4)), profile)
    assert "op 2 (wide_b)" in profile_text(profile)


def test_same_plan_same_picture():
    assert plan_svg(make_plan(branches())) == plan_svg(make_plan(branches()))
