"""SVG twins: well-formed, small, told in words, without scripts or ids, names escaped."""

import re
from dataclasses import replace
from html import escape
from xml.etree import ElementTree

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter

from roam_lab.ir.measured import MeasuredCurve
from roam_lab.plan import Profile, make_plan
from roam_lab.report.pictures import alive_picture, memory_picture, pareto_picture, pictures, pictures_of
from roam_lab.report.pictures.canvas import FONT, LEFT, LETTER, RIGHT, SMALL_FONT, WIDTH, hatch
from roam_lab.report.pictures.memory import PLOT_HEIGHT
from roam_lab.report.views import views_of
from roam_lab.report.views.alive import AliveView, Bar, Side
from roam_lab.report.views.arena import arena_view
from roam_lab.report.views.labels import room_for
from roam_lab.report.views.look import KINDS
from roam_lab.report.views.pareto import pareto_view
from tests.plan.graphs import empty, random_graph
from tests.report.graphs import branches, chain
from tests.report.views.graphs import HOSTILE, bare_of_places, blocks, stacked_plan, tree_of

NAMESPACE = "{http://www.w3.org/2000/svg}"
MOST_BYTES = 200_000


def planned(graph, **settings):
    plan = make_plan(graph, **settings)
    return replace(plan, tasks=tree_of(plan.order)) if len(plan.order) >= 4 else plan


def all_of(plan):
    drawn = pictures(plan)
    drawn["pareto"] = pareto_picture(pareto_view({"one": plan, HOSTILE: replace(plan, arena_bytes=1)}))
    return drawn


@pytest.mark.parametrize(
    "graph",
    [
        empty(),
        chain(1),
        branches(),
        blocks(12),
        bare_of_places(blocks(12)),
        random_graph(4, 20),
        blocks(2, hostile=True),
    ],
    ids=lambda graph: f"{graph.name}{len(graph.ops)}",
)
def test_every_picture_is_a_document_that_says_what_it_shows(graph):
    plan = planned(graph)
    for key, svg in all_of(plan).items():
        root = ElementTree.fromstring(svg)
        assert root.attrib["role"] == "img", key
        assert root.find(f"{NAMESPACE}title").text == root.attrib["aria-label"]
        assert len(root.find(f"{NAMESPACE}desc").text) > 40
        assert not re.search(r'[\s"](id|onload|onclick|href)=', svg)
        assert "<script" not in svg
        assert not [node for node in root.iter() if node.tag.removeprefix(NAMESPACE) in ("script", "use", "image")]
        assert "nan" not in re.sub(r"<(title|desc|text)[^>]*>.*?</\1>", "", svg)
        assert len(svg.encode()) < MOST_BYTES


def test_words_are_the_views_own():
    plan = planned(branches())
    views, drawn = views_of(plan), pictures(plan)
    shown = {
        "memory": views.memory,
        "graph": views.graph,
        "arena": views.arena,
        "icicle": views.icicle,
        "alive": views.alive,
        "tasks": views.tasks,
    }
    shown = {key: view for key, view in shown.items() if view is not None}
    assert "".join(ElementTree.fromstring(drawn["alive"]).itertext()).count("wide_b") >= 2
    for key, view in shown.items():
        assert ElementTree.fromstring(drawn[key]).find(f"{NAMESPACE}desc").text == view.alt, key
    assert pictures_of(replace(views, tasks=None)).keys() == {"memory", "graph", "arena", "icicle", "alive"}


def test_long_steps_stay_small():
    graph = blocks(1200)
    assert len(graph.ops) > 10_000
    plan = stacked_plan(graph)
    measured = MeasuredCurve(
        ("t",) * 20_000, tuple(np.random.default_rng(0).integers(0, 10**7, 20_000).tolist()), "t", "cpu"
    )
    for key, svg in pictures(plan, Profile(graph=graph, measured=measured)).items():
        assert len(svg.encode()) < MOST_BYTES, key
    assert "measured on cpu" in pictures(plan, Profile(graph=graph, measured=measured))["memory"]


def test_an_arena_of_many_large_storages_stays_small():
    plan = make_plan(blocks(20))
    view = arena_view(plan)
    many = 30_000
    draw = np.random.default_rng(0)
    left, bottom = draw.random(many) * view.axis.end / 2, draw.integers(0, plan.arena_bytes // 2, many)
    from roam_lab.report.pictures import arena_picture

    crowd = replace(
        view,
        left=left,
        right=left + draw.random(many) * view.axis.end / 2,
        bottom=bottom,
        top=bottom + plan.arena_bytes // 50,
        kind=("gradient",) * many,
        storage=np.arange(many) % len(view.tensors.bytes),
        count=np.ones(many, np.int64),
    )
    assert len(arena_picture(crowd).encode()) < MOST_BYTES


def test_resident_bytes_lie_beneath():
    plan = planned(branches())
    assert "resident (10.0 KiB) + live" in pictures(plan, resident=True)["memory"]
    assert pictures(plan)["memory"].count("<rect") < pictures(plan, resident=True)["memory"].count("<rect")


def test_names_stand_where_the_view_puts_them():
    plan = planned(branches())
    many = {f"plan {number}": replace(plan, arena_bytes=10**6 + number, seconds=1.0) for number in range(30)}
    view = pareto_view(many)
    height = room_for(30, FONT)
    lines = ElementTree.fromstring(pareto_picture(view)).iter(f"{NAMESPACE}text")
    placed = {node.text: float(node.attrib["y"]) for node in lines if (node.text or "").startswith("plan ")}
    assert placed.keys() == many.keys()
    for label in view.labels(WIDTH - LEFT - RIGHT, height, FONT):
        assert placed[label.text] == pytest.approx(52 + (1 - label.y) * height - 0.27 * FONT.line, abs=0.1)
    for label in views_of(plan).memory.labels(WIDTH - LEFT - RIGHT, PLOT_HEIGHT, SMALL_FONT):
        assert f">{escape(label.text)}</text>" in pictures(plan)["memory"]


def test_a_picture_shows_itself_in_a_notebook_and_tells_itself_elsewhere():
    drawn = pictures(planned(blocks(2)))["graph"]
    data, _ = DisplayFormatter().format(drawn)
    assert data == {"text/html": str(drawn), "text/plain": views_of(planned(blocks(2))).graph.alt}
    assert str(drawn).startswith("<svg ")
    assert f"{drawn}" == "".join([drawn]) == drawn
    hostile = views_of(planned(blocks(1, hostile=True))).memory
    assert "\x1b" not in repr(memory_picture(replace(hostile, name="a\x1b[31m")))


def test_curves_differ_by_dashes_and_kinds_by_hatches():
    measured = MeasuredCurve(("a",) * 6, (1,) * 6, "a tracker", "cpu")
    svg = pictures(planned(branches()), Profile(graph=branches(), measured=measured))["memory"]
    dashes = dict(re.findall(r'class="line (\w+)" stroke-dasharray="([\d ]+)" d="M[\d.]+ [\d.]+H', svg))
    assert set(dashes) == {"captured", "bound", "measured"}
    assert len(set(dashes.values())) == 3
    drawn = {look.hatch: hatch(0, 0, 40, 40, look.hatch) for look in KINDS.values()}
    assert drawn.pop(" ") == ""
    assert all(drawn.values())
    assert len(set(drawn.values())) == len(drawn)


def test_hatches_stay_within_their_rectangle():
    for pattern in "/\\x|-+.ov`":
        lines = hatch(10, 20, 30, 15, pattern)
        numbers = re.findall(r"M([\d.]+) ([\d.]+)|L([\d.]+) ([\d.]+)", lines)
        for a, b, c, d in numbers:
            assert 10 <= float(a or c) <= 40
            assert 20 <= float(b or d) <= 35
        assert hatch(10, 20, 3, 3, pattern) == ""


def test_the_graph_marks_the_peak_and_shows_each_cell():
    plan = planned(blocks(12))
    view = views_of(plan).graph
    svg = pictures(plan)["graph"]
    assert svg.count("▲ planned peak") == 1
    words = [node.text for node in ElementTree.fromstring(svg).iter(f"{NAMESPACE}text")]
    for cell in view.cells:
        assert cell.label in words
        assert cell.sub in words
    assert svg.count('class="band ') == len(view.bands)


def test_same_plan_same_pictures():
    plan = planned(branches())
    assert pictures(plan) == pictures(plan)


@pytest.mark.parametrize("named", [3, 12, 45])
def test_bars_leave_as_much_room_as_their_names_need(named):
    bar = Bar(0, 2**20, "activation", "w" * named, "")
    view = AliveView("step", (Side("planned", "planned", 2**20, "at step 1", (bar, replace(bar, bytes=2**19)), True),))
    root = ElementTree.fromstring(alive_picture(view))
    boxes = [node for node in root.iter(f"{NAMESPACE}rect") if float(node.attrib["height"]) == 15]
    widths = [float(node.attrib["width"]) for node in boxes]
    plot = WIDTH - RIGHT - 16
    words = [node for node in root.iter(f"{NAMESPACE}text") if "ww" in node.text]
    assert len(words) == 2
    assert all("…" not in node.text for node in words)
    ends = [float(node.attrib["x"]) + LETTER * len(node.text) for node in words]
    assert max(ends) <= WIDTH - RIGHT
    assert max(widths) == pytest.approx(2 * min(widths), abs=0.3)
    assert max(ends) > WIDTH - RIGHT - 20 or max(widths) == pytest.approx(plot / 2)
