"""Arena, bars, tree, Pareto and the table twins: what they say agrees with the plan."""

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from roam_lab.errors import InputError
from roam_lab.ir import lifetimes
from roam_lab.plan import Profile, make_plan
from roam_lab.report.views import views_of
from roam_lab.report.views.alive import alive_view, profile_alive_view
from roam_lab.report.views.arena import arena_view
from roam_lab.report.views.graph import BAND, MOST_BANDS, graph_view
from roam_lab.report.views.look import KINDS, OKABE_ITO, ROLES, STATUSES, kind_looks
from roam_lab.report.views.pareto import pareto_view
from roam_lab.report.views.table import Table, listed, short
from roam_lab.report.views.tasks import tasks_view
from roam_lab.report.views.tensors import tensors
from tests.plan.graphs import empty, random_graph
from tests.report.graphs import branches, chain
from tests.report.views.graphs import HOSTILE, bare_of_places, blocks, stacked_plan, tree_of


@pytest.mark.parametrize("graph", [branches(), blocks(6), chain(50), random_graph(2, 30)], ids=lambda g: g.name)
def test_every_placed_storage_lies_in_its_rectangle(graph):
    plan = make_plan(graph)
    view = arena_view(plan, clock="steps")
    assert int(view.count.sum()) == len(lifetimes(graph, plan.order))
    for life in lifetimes(graph, plan.order):
        row = int(view.row_of[life.storage])
        assert row >= 0
        offset = plan.offsets[life.storage]
        assert view.bottom[row] <= offset
        assert view.top[row] >= offset + life.bytes
        assert view.left[row] <= life.start
        assert view.right[row] >= life.end
        if view.storage[row] >= 0:
            assert view.storage[row] == life.storage
            assert (view.bottom[row], view.top[row]) == (offset, offset + life.bytes)


def test_tiny_storages_are_drawn_together_and_still_found():
    graph = blocks(300, width=8)
    plan = stacked_plan(graph)
    view = arena_view(plan)
    grouped = view.storage < 0
    assert grouped.any()
    assert len(view.left) < len(plan.offsets) / 2
    assert set(view.row_of[view.row_of >= 0].tolist()) == set(range(len(view.left)))
    for row in np.flatnonzero(grouped).tolist():
        members = np.flatnonzero(view.row_of == row)
        assert len(members) == view.count[row] > 1
        assert len({view.tensors.kind[one] for one in members}) == 1


def test_external_storages_have_a_region_of_their_own_on_cuda():
    graph = random_graph(11, 25, external=True)
    plan = make_plan(graph, environment={"device": "cuda"})
    external = [s for s in plan.offsets if graph.storages[s].external]
    view = arena_view(plan)
    assert view.external_bytes == min(plan.offsets[storage] for storage in external)
    assert "(external)" in view.alt
    assert arena_view(make_plan(branches())).external_bytes is None
    on_cpu = arena_view(make_plan(graph))
    assert on_cpu.external_bytes is None
    assert f"{len(external)} are allocated by ops themselves (external)" in on_cpu.alt


def test_bars_are_largest_first_and_sum_to_the_peak():
    plan = make_plan(branches())
    view = alive_view(plan, shown=1)
    captured, planned = view.sides
    assert captured.label == "captured order (planned graph)"
    assert alive_view(plan, Profile(graph=branches())).sides[0].label == "captured order (eager)"
    assert (captured.peak_bytes, planned.peak_bytes) == (plan.captured_peak_bytes, plan.peak_bytes)
    for side in view.sides:
        assert sum(bar.bytes for bar in side.bars) == side.peak_bytes
        sizes = [bar.bytes for bar in side.bars if bar.storage >= 0]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) == 1
    assert captured.bars[-1].count == 2
    assert captured.bars[-1].storage == -1
    assert "wide_b" in view.alt
    assert view.table.rows[0][2] == 100 * 1024


def test_the_captured_bars_are_those_of_eager_and_not_selectable_when_it_differs():
    profile = Profile(graph=chain(4), eager_graph=branches())
    view = alive_view(make_plan(chain(4)), profile)
    assert [side.selectable for side in view.sides] == [False, True]
    assert view.sides[0].peak_bytes == 204 * 1024
    assert profile_alive_view(Profile(graph=branches())).sides[0].selectable


def test_no_ops_no_bars():
    views = views_of(make_plan(empty()))
    assert [side.bars for side in views.alive.sides] == [(), ()]
    assert (views.graph.cells, views.graph.bands, len(views.arena.left)) == ((), (), 0)
    assert views.tasks is None
    for table in views.tables().values():
        ElementTree.fromstring(table.html())


def test_graph_bands_are_the_kept_bytes():
    plan = make_plan(blocks(12))
    view = graph_view(plan)
    assert sum(band.bytes for band in view.bands) + view.left_out_bytes == sum(k.bytes for k in view.tree.kept)
    heights = [max(band.y) - min(band.y) for band in view.bands if len(band.x) == 4]
    assert max(heights) == pytest.approx(BAND)
    assert sum(cell.peak for cell in view.cells) == 1
    assert "12" in view.alt
    assert {row[0] for row in view.table.rows} == {cell.label for cell in view.cells}


def test_too_many_bands_are_left_out_and_counted():
    graph = blocks(14, width=6)
    plan = make_plan(graph)
    tree = graph_view(plan).tree
    everything = tuple(number for number, node in enumerate(tree.nodes) if node.children)
    view = graph_view(plan, opened=everything)
    assert len(view.bands) <= MOST_BANDS
    assert sum(band.bytes for band in view.bands) + view.left_out_bytes == sum(k.bytes for k in view.tree.kept)


def test_brackets_span_their_open_modules():
    view = graph_view(make_plan(blocks(4)), opened=(1, 2))
    spans = {bar.label: (bar.first, bar.last, bar.level) for bar in view.brackets}
    assert spans == {"net.h.0–3 ×4": (0, 4, 1), "h.0": (0, 1, 0)}


def test_the_icicle_is_as_wide_as_its_ops():
    graph = blocks(4)
    plan = make_plan(graph)
    plan = replace(plan, tasks=tree_of(plan.order))
    view = tasks_view(plan)
    assert (view.ops, view.depth) == (len(graph.ops), 3)
    leaves = [cell for cell in view.cells if cell.leaf]
    assert leaves[0].left == 0
    assert all(one.right == other.left for one, other in pairwise(leaves))
    for storage, creator in enumerate(graph.creator):
        cell = view.cells[view.row_of[storage]]
        assert cell.leaf
        assert cell.left <= plan.order.index(creator) < cell.right
    assert "optimal 2, feasible 1, timed out 1" in view.alt
    with pytest.raises(InputError, match="has no tree of tasks"):
        tasks_view(make_plan(graph))


def test_pareto_keeps_what_nothing_beats():
    plan = make_plan(branches())
    sizes = {"small slow": (100, 9.0), "large fast": (300, 1.0), "beaten": (300, 9.5), "middle": (200, 2.0)}
    plans = {name: replace(plan, arena_bytes=size, seconds=cost) for name, (size, cost) in sizes.items()}
    view = pareto_view(plans)
    assert [point.name for point in view.front] == ["large fast", "middle", "small slow"]
    assert [row[-1] for row in view.table.rows] == ["yes", "yes", "", "yes"]
    assert "beaten: 300 B, 9.5 s" in view.alt
    level = {"tie": replace(plan, arena_bytes=50, seconds=1.0), "larger": replace(plan, arena_bytes=60, seconds=1.0)}
    assert [point.name for point in pareto_view(level).front] == ["tie"]
    twins = pareto_view({"a": plan, "b": plan})
    assert [point.best for point in twins.points] == [True, True]
    measured = pareto_view(plans, {"middle": 0.5}, "cuda")
    assert [point.name for point in measured.points] == ["middle"]
    assert measured.basis == "memory predicted, step time measured on cuda"
    with pytest.raises(InputError, match="run a plan first"):
        pareto_view(plans, {})


def test_tensors_tell_everything_about_a_storage():
    graph = branches()
    plan = make_plan(graph)
    known = tensors(plan)
    card = known.card(1)
    for text in ("storage 1 ", "activation", "100.0 KiB (102,400 bytes)", "block.0", "train.py:10", "wide_a (aten.mm"):
        assert text in card
    assert known.kind[3] == "unknown"
    assert tensors(make_plan(bare_of_places(blocks(2)))).kind[:2] == ("activation", "activation")
    assert len(known.table.rows) == 6


def test_tables_escape_names_and_align_numbers():
    table = Table("<b>", ("name", "bytes"), ((HOSTILE, 1234567), ("\x1b[31m", 1.5), ("", None)))
    root = ElementTree.fromstring(table.html())
    assert "".join(root.find("tbody/tr/td").itertext()) == HOSTILE
    assert "<script" not in table.html()
    assert "1,234,567" in table.text()
    assert "\x1b" not in table.text()


def test_words_are_cut_where_they_tell_least():
    assert short("transformer.h.11.mlp", 8) == "….11.mlp"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"


def test_looks_are_okabe_and_ito_told_apart_without_colour():
    known = set(OKABE_ITO.values())
    for family in (KINDS, STATUSES):
        assert {look.light for look in family.values()} <= known
        assert len({look.hatch for look in family.values()}) == len(family)
    assert len({look.dash for look in ROLES.values()}) == len(ROLES)
    looks = kind_looks(["mystery", "gradient", "activation"])
    assert list(looks) == ["activation", "gradient", "mystery"]
