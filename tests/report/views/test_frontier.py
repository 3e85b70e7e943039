"""Memory against extra time: the view, its words and table, and both drawings of it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from bokeh.models import Span

from roam_lab.plan import Plan, make_plan
from roam_lab.plan.alternatives import Alternative
from roam_lab.plan.devices import Device
from roam_lab.plan.frontier import Frontier, LaidOutPoint
from roam_lab.report.figures.frontier import frontier_figure, on_pick
from roam_lab.report.pictures.frontier import frontier_picture
from roam_lab.report.views import views_of
from roam_lab.report.views.frontier import FrontierView, frontier_view, no_frontier
from roam_lab.report.views.labels import Font
from roam_lab.rewrite.bound import RewriteBound
from tests.rewrite.graphs import blocks

MIB = 2**20
FOUND = Frontier(
    "<b>&step",
    100 * MIB,
    1000 * MIB,
    (LaidOutPoint(0.0, 900 * MIB, 900 * MIB, 0, 0), LaidOutPoint(0.08, 400 * MIB, 400 * MIB, 7, 3 * MIB)),
    "roofline: a100",
    "auto",
    LaidOutPoint(0.25, 500 * MIB, 500 * MIB, 12, 0),
)


@pytest.fixture(scope="module")
def chosen() -> Plan:
    return make_plan(blocks(4), extra_time=0.2, alignment=1)


@pytest.fixture(scope="module")
def view(chosen: Plan) -> FrontierView:
    return frontier_view(FOUND, chosen)


def test_every_point_counts_the_whole_step(view: FrontierView, chosen: Plan) -> None:
    assert [(mark.role, mark.whole_bytes // MIB, mark.percent) for mark in view.marks[:-1]] == [
        ("planned", 1000, 0.0),
        ("planned", 500, 8.0),
        ("captured", 1100, 0.0),
        ("checkpointed", 600, 25.0),
    ]
    assert view.marks[-1].role == "chosen"
    assert view.marks[-1].whole_bytes == 100 * MIB + chosen.arena_bytes
    assert view.marks[-1].extra_time == chosen.extra_time
    assert "7 ops run again, 3.0 MiB moved to the host" in view.marks[1].note
    assert view.end_percent > 25
    assert view.end_bytes > 1100 * MIB


def test_names_stand_apart_and_say_what_is_what(view: FrontierView) -> None:
    labels = view.labels(420, 270, Font(6.6, 14.0))
    texts = [label.text for label in labels]
    assert "least known: 500.0 MiB" in texts
    assert "every block checkpointed" in texts
    assert any(text.startswith("this plan") for text in texts)
    assert len({(round(label.y, 3), label.before) for label in labels}) == len(labels)


def test_words_and_table_hold_every_figure(view: FrontierView) -> None:
    assert "every block checkpointed: 600.0 MiB, +25.0 % time" in view.alt
    assert [row[0] for row in view.table.rows] == [
        "free", "+8.0 % time", "eager", "every block checkpointed", "this plan",
    ]  # fmt: skip
    assert "roofline: a100" in view.table.caption


def test_bokeh_marks_differ_in_shape_and_a_click_tells_its_extra_time(view: FrontierView) -> None:
    drawn = frontier_figure(view)
    source = next(one for one in drawn.references() if one.name == "roam-frontier-data")
    assert source.data["marker"] == ["circle", "circle", "square", "triangle", "circle"]
    assert source.data["fill"][-1] == 0.0  # a ring around another point
    heard: list[float] = []
    on_pick(drawn, heard.append)
    for rows in ([1], [], [3], [0]):  # checkpointing is no plan of ours
        source.selected.indices = rows
    assert heard == [pytest.approx(0.08), 0.0]


def test_the_picture_is_legal_and_tells_figures_on_hover(view: FrontierView) -> None:
    drawn = frontier_picture(view)
    root = ElementTree.fromstring(drawn)
    message = [one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(message) == 1 + len(view.marks)
    assert any("every block checkpointed: 600.0 MiB, +25.0 % time" in one for one in message)
    assert "<b>&step" not in drawn


def test_nothing_known_is_drawn_as_nothing() -> None:
    empty = no_frontier("step")
    assert "Nothing found yet" in empty.alt
    assert frontier_figure(empty)
    assert "roam-pic" in frontier_picture(empty)


def test_views_have_it_with_a_frontier_and_the_rewrites_where_there_are_any(chosen: Plan) -> None:
    tables = views_of(chosen, frontier=FOUND).tables()
    assert {"frontier", "rewrites"} <= tables.keys()
    assert sum(row[2] for row in tables["rewrites"].rows) == chosen.captured_peak_bytes - chosen.peak_bytes
    assert {"frontier", "rewrites"}.isdisjoint(views_of(make_plan(blocks(2))).tables())


def test_what_is_made_again_is_told_apart_in_every_view(chosen: Plan) -> None:
    views = views_of(chosen)
    assert "recomputed" in {layer.kind for layer in views.memory.stack}
    assert "recomputed" in views.arena.kind
    assert views.tensors.kind.count("unknown") == 0  # the graph tells no kinds: those of its own storages are inferred
    root = views.graph.tree.nodes[0]
    again = sum(rewrite.kind == "recompute" for rewrite in chosen.rewrites)
    assert sum(root.again) == again > 0
    assert views.graph.rewritten == f"↻ {again} ops run again in the backward pass"
    assert any(f"↻ {cell_again}" in cell.sub for cell in views.graph.cells for cell_again in range(1, again + 1))
    graph = chosen.graph
    assert graph is not None
    kept = sum(one.bytes for one in views.graph.tree.kept if (one.from_phase, one.to_phase) == (0, 1))
    copies = sum(info.bytes for info in graph.storages if info.kind == "recomputed")
    lives = sum(
        graph.storages[one].bytes for one in range(len(graph.storages)) if views.tensors.kind[one] == "activation"
    )
    assert kept <= lives
    assert copies > 0
    assert [curve.role for curve in views.memory.curves] == ["planned"]  # the captured order is no more known
    assert [side.role for side in views.alive.sides] == ["planned"]


def test_gpus_across_it_and_a_bound_below(chosen: Plan) -> None:
    """Points reach 1,100 MiB: GPUs below that, and the next one above; what the driver takes is taken off."""
    devices = tuple(
        Device(name, size * MIB, 50 * MIB, 1.0)
        for name, size in (("tiny", 100), ("small", 650), ("twin", 650), ("large", 1450), ("huge", 9000))
    )
    bounds = (RewriteBound(700 * MIB, 0.0), RewriteBound(300 * MIB, 0.1))
    view = frontier_view(replace(FOUND, bounds=bounds), devices=devices)
    assert [(line.name, line.bytes // MIB) for line in view.lines] == [("small, twin", 600), ("large", 1400)]
    assert view.end_bytes > 1400 * MIB
    assert view.bound == ((0.0, 800 * MIB), (10.0, 400 * MIB))
    assert view.bound_steps == ((0.0, 800 * MIB), (0.0, 800 * MIB), (0.0, 400 * MIB), (10.0, 400 * MIB))
    assert "small, twin has 600.0 MiB for it" in view.alt
    assert "no rewriting of this order needs less than 400.0 MiB up to 10.0 % time" in view.alt
    assert ("lower bound", 10.0, 400 * MIB) in [row[:3] for row in view.table.rows]
    names = [label.text for label in view.labels(420, 270, Font(6.6, 14.0))]
    assert {"small, twin", "large", "lower bound"} <= set(names)
    drawn = frontier_picture(view)
    assert drawn.count('stroke-dasharray="8 4"') == 2
    assert 'class="line bound"' in drawn
    figure = frontier_figure(view)
    assert sum(isinstance(one, Span) for one in figure.references()) == 3  # resident, and a line for each GPU
    assert not frontier_view(FOUND).bound_steps


def test_eager_and_checkpointing_are_pytorchs_own_where_they_are_known() -> None:
    way = Alternative("every block checkpointed", 250 * MIB, 0.3, {}, True, "worked out")
    view = frontier_view(replace(FOUND, eager_bytes=1200 * MIB, alternatives=(way,)))
    by_role = {mark.role: mark for mark in view.marks}
    assert (by_role["captured"].whole_bytes, by_role["captured"].label) == (1200 * MIB, "eager reserves 1.17 GiB")
    assert (by_role["checkpointed"].whole_bytes, by_role["checkpointed"].extra_time) == (950 * MIB, 0.3)


def test_eagers_tensors_and_what_is_reserved_for_them_are_two_points_and_residents_have_a_name() -> None:
    view = frontier_view(replace(FOUND, eager_bytes=1200 * MIB, eager_peak_bytes=950 * MIB))
    found = [(mark.whole_bytes // MIB, mark.label) for mark in view.marks if mark.role == "captured"]
    assert found == [(1050, "eager 1.03 GiB"), (1200, "eager reserves 1.17 GiB")]
    assert "residents and live peak" in [mark.note for mark in view.marks]
    assert "resident 100.0 MiB" in frontier_picture(view)
    assert "resident 100.0 MiB" in [anchor.label for anchor in view.anchors]


def test_a_plan_takes_the_place_of_points_that_it_beats(chosen: Plan) -> None:
    point = LaidOutPoint(chosen.extra_time, chosen.arena_bytes + 1, chosen.peak_bytes, 1, 0)
    first = LaidOutPoint(0.0, 10 * chosen.arena_bytes, 10 * chosen.arena_bytes, 0, 0)
    other = replace(FOUND, points=(first, point))
    own = replace(other, graph_sha256=chosen.graph_sha256)
    assert [mark.arena_bytes for mark in frontier_view(own, chosen).front] == [first.arena_bytes, chosen.arena_bytes]
    assert [mark.arena_bytes for mark in frontier_view(other, chosen).front] == [first.arena_bytes, point.arena_bytes]
