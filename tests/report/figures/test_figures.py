"""Bokeh models: what each figure draws agrees with its view; alt text, palette, plain names, one selection."""

import json
import re
from dataclasses import replace

import pytest
from bokeh.models import BoxAnnotation, ColumnDataSource, Label, LabelSet, Legend, TapTool
from bokeh.models.dom import Text

from roam_lab.errors import InputError
from roam_lab.ir.measured import MeasuredCurve
from roam_lab.plan import Profile, make_plan
from roam_lab.report.figures import (
    alt_text,
    arena_figure,
    linked,
    memory_figure,
    on_select,
    page,
    pareto_figure,
    select,
    selection_of,
    tasks_figure,
)
from roam_lab.report.figures.memory import FONT, LEAST_PLOT
from roam_lab.report.figures.theme import INKS, plain
from roam_lab.report.views import views_of
from roam_lab.report.views.arena import arena_view
from roam_lab.report.views.details import details
from roam_lab.report.views.look import KINDS, OKABE_ITO
from roam_lab.report.views.memory import memory_view
from roam_lab.report.views.pareto import pareto_view
from tests.plan.graphs import empty, random_graph
from tests.report.graphs import branches, chain
from tests.report.views.graphs import HOSTILE, bare_of_places, blocks, stacked_plan, tree_of
from tests.twins import sampled


def planned(graph, **settings):
    plan = make_plan(graph, **settings)
    return replace(plan, tasks=tree_of(plan.order)) if len(plan.order) >= 4 else plan


def source(model, name):
    (found,) = [one for one in model.references() if isinstance(one, ColumnDataSource) and one.name == f"roam-{name}"]
    return found


@pytest.mark.parametrize("theme", sampled(sorted(INKS), 1))
@pytest.mark.parametrize(
    "graph", [empty(), chain(1), branches(), bare_of_places(blocks(3)), random_graph(4, 20)], ids=lambda g: g.name
)
def test_every_figure_of_every_graph(graph, theme):
    plan = planned(graph)
    figures = linked(plan, theme=theme)
    shown = {"memory", "icicle", "graph", "arena", "alive"} | ({"tasks"} if plan.tasks else set())
    assert set(figures) == {"controls", "selected"} | shown
    for key in shown:
        drawn = figures[key]
        assert drawn.name == f"roam-{key}"
        assert drawn.html_attributes["role"] == "img"
        assert alt_text(drawn) == drawn.html_attributes["aria-label"]
        assert len(alt_text(drawn)) > 40
        assert drawn.background_fill_alpha == drawn.border_fill_alpha == 0
        assert drawn.title.text_color == INKS[theme].text
        assert drawn.output_backend == "canvas"
    assert len({id(selection_of(drawn)) for drawn in figures.values()}) == 1


def contrast(one, other):
    """WCAG 2.2: of relative luminances."""
    light = []
    for colour in (one, other):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        light.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return (max(light) + 0.05) / (min(light) + 0.05)


JUPYTER_DARK = "#111111"


def test_words_can_be_read_on_light_and_dark_pages():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast(INKS["light"].text, "#ffffff") > 7
    assert contrast(INKS["dark"].text, JUPYTER_DARK) > 7
    greys = [f"#{level:02x}{level:02x}{level:02x}" for level in range(256)]
    worse = {grey: min(contrast(grey, "#ffffff"), contrast(grey, JUPYTER_DARK)) for grey in greys}
    assert INKS["auto"].text == max(greys, key=lambda grey: worse[grey])  # no grey has 4.5 on both
    assert 4.3 < worse[INKS["auto"].text] < 4.5
    assert min(contrast(INKS["auto"].axis, page) for page in ("#ffffff", JUPYTER_DARK)) > 3  # what lines should have


def test_an_unknown_theme_is_refused():
    with pytest.raises(InputError, match="choose one of auto, light, dark"):
        linked(planned(branches()), theme="pink")


def test_memory_lines_are_the_views_curves():
    plan = planned(branches())
    measured = MeasuredCurve(("a",) * 6, (7,) * 6, "a tracker", "cpu")
    profile = Profile(graph=branches(), measured=measured)
    view = memory_view(plan, profile)
    drawn = memory_figure(view)
    for curve in view.curves:
        data = source(drawn, curve.role).data
        assert max(data["bytes"]) == curve.peak_bytes
        assert data["x"][-1] == view.axis.end
    stack = source(drawn, "stack").data
    assert stack[f"y_{len(view.stack)}"].max() * 1024 == pytest.approx(plan.peak_bytes)
    (key,) = drawn.select(Legend)
    words = [item.label.value for item in key.items]
    assert any("measured on cpu" in wording for wording in words)
    assert any(wording == "proven lower bound 105.0 KiB" for wording in words)
    assert drawn.y_range.end >= plan.captured_peak_bytes / 1024
    assert "KiB" in drawn.yaxis[0].axis_label
    tool = linked(plan, profile)["memory"].select_one({"name": "roam-memory-hover"})
    wording = [text.partition(":")[0] for _, text in tool.tooltips]
    assert wording[1:] == [curve.what for curve in view.curves]
    assert not drawn.select(Label)


def test_names_stand_where_the_view_puts_them():
    plan = planned(branches())
    view = memory_view(plan)
    drawn = memory_figure(view)
    labels, found = view.labels(*LEAST_PLOT, FONT), source(drawn, "labels").data
    assert found["text"] == [label.text for label in labels]
    assert found["y"] == [pytest.approx(label.y * drawn.y_range.end) for label in labels]
    assert found["x"] == [pytest.approx(curve.peak_at) for curve in view.curves]
    (names,) = drawn.select(LabelSet)
    assert names.source is source(drawn, "labels")
    assert max(found["y"]) < drawn.y_range.end
    many = {f"plan {number}": replace(plan, arena_bytes=10**6 + number, seconds=1.0) for number in range(30)}
    drawn = pareto_figure(pareto_view(many))
    low, high = drawn.y_range.start, drawn.y_range.end
    found = source(drawn, "labels").data
    assert found["text"] == list(many)
    assert low <= min(found["y"]) < max(found["y"]) < high
    assert drawn.height > 30 * 14 > pareto_figure(pareto_view({"one": plan})).height


def test_resident_bytes_lie_beneath():
    plan = planned(branches())
    base = linked(plan, resident=True)["memory"]
    assert min(source(base, "stack").data["y_0"]) == 10
    assert max(source(base, "captured").data["bytes"]) == plan.captured_peak_bytes + 10 * 1024


def test_memory_and_arena_share_their_time():
    figures = linked(planned(blocks(3)))
    assert figures["memory"].x_range is figures["arena"].x_range


def test_arena_is_one_renderer_in_the_palette():
    plan = planned(blocks(5))
    view = views_of(plan).arena
    drawn = arena_figure(view)
    data = source(drawn, "arena-data").data
    assert len(data["left"]) == len(view.left)
    assert set(data["fill"]) <= {look.light for look in KINDS.values()} <= set(OKABE_ITO.values())
    assert sum(one.data_source is source(drawn, "arena-data") for one in drawn.renderers) == 1
    patterns = {one.glyph.hatch_pattern for one in drawn.renderers if one.data_source.name != "roam-key"}
    assert patterns <= {None, *(look.hatch for look in KINDS.values())}
    assert len(patterns) > 2
    (tap,) = drawn.select(TapTool)
    assert [one.data_source for one in tap.renderers] == [source(drawn, "arena-data")]


def test_a_key_of_looks_shows_each_name_with_its_own_row():
    drawn = arena_figure(views_of(planned(blocks(5))).arena, places=True)
    (key,) = drawn.select(Legend)
    rows = source(drawn, "key").data
    for item in key.items:
        look = KINDS[item.label.value]
        (patch,) = item.renderers
        assert (rows["fill"][item.index], rows["hatch"][item.index]) == (look.light, look.hatch)
        assert (patch.glyph.fill_color, patch.glyph.hatch_pattern) == ("fill", "hatch")


def test_ten_thousand_rectangles_are_one_source():
    graph = chain(10_000)
    view = arena_view(stacked_plan(graph))
    assert view.count.sum() == 10_000
    drawn = arena_figure(view)
    assert len(source(drawn, "arena-data").data["left"]) == len(view.left) < 10_000
    assert len(drawn.renderers) <= 1 + 2 * len(KINDS)


def test_selection_finds_its_row_in_each_figure():
    graph = blocks(4)
    plan = planned(graph)
    storage = 5
    figures = linked(plan, selected=storage)
    known = views_of(plan)
    arena, alive, tasks = (source(figures[key], f"{key}-data") for key in ("arena", "alive", "tasks"))
    assert [arena.data["storage"][row] for row in arena.selected.indices] in ([storage], [-1])
    assert arena.selected.indices == [int(known.arena.row_of[storage])]
    assert tasks.selected.indices == [int(known.tasks.row_of[storage])]
    members = [bar.members for side in known.alive.sides for bar in side.bars]
    assert alive.selected.indices == [row for row, found in enumerate(members) if storage in found][::-1]
    cells = source(figures["graph"], "graph-cells").data
    marked = [at for at, width in enumerate(cells["width"]) if width == 4]
    assert len(marked) == 1
    leaf = int(known.graph.tree.cell_of_storage[storage]) // 3
    ancestors = {leaf}
    while leaf > 0:
        leaf = known.graph.tree.nodes[leaf].parent
        ancestors.add(leaf)
    assert cells["node"][marked[0]] in ancestors
    message = {text.content for text in figures["selected"].references() if isinstance(text, Text)}
    assert {plain(text) for _, text in details(known.tensors, storage, known.icicle.step)} <= message
    (box,) = [one for one in figures["memory"].center if isinstance(one, BoxAnnotation)]
    assert box.visible
    assert box.left == known.memory.axis.edges[known.tensors.start[storage]]


def test_python_hears_and_sets_the_selection():
    figures = linked(planned(branches()))
    heard = []
    on_select(figures["arena"], heard.append)
    select(figures["memory"], 2)
    assert selection_of(figures["graph"]).data == {"storage": [2]}
    select(figures["alive"], None)
    assert heard == [2, None]
    assert selection_of(pareto_figure(pareto_view({"a": make_plan(branches())}))) is None


def test_pareto_joins_what_nothing_beats():
    plan = make_plan(branches())
    plans = {"a": replace(plan, arena_bytes=100, seconds=1.0), "b": replace(plan, arena_bytes=200, seconds=2.0)}
    drawn = pareto_figure(pareto_view(plans))
    assert source(drawn, "pareto-data").data["marker"] == ["circle", "diamond"]
    assert "s (measured)" in drawn.xaxis[0].axis_label


def test_tasks_show_status_by_colour_and_hatch():
    plan = planned(blocks(4))
    drawn = tasks_figure(views_of(plan).tasks)
    data = source(drawn, "tasks-data").data
    assert len(data["left"]) == 7
    leaves = [at for at, status in enumerate(data["alpha"]) if status == 0.65]
    hatched = (one for one in drawn.renderers if one.data_source.name is None)
    patterns = {one.glyph.hatch_pattern for one in hatched if hasattr(one.glyph, "hatch_pattern")}
    assert len(patterns - {" ", None}) == 2
    assert len({data["fill"][at] for at in leaves}) == 3


def test_names_are_no_formulas():
    assert "$$" not in plain(HOSTILE)
    assert "\\(" not in plain(r"\(x\)")
    assert plain("a\x00b") == "a\ufffdb"


def test_page_is_one_file_that_asks_for_nothing():
    plan = planned(blocks(2, hostile=True))
    views = views_of(plan)
    figures = linked(plan)
    document = page(HOSTILE, figures, views.tables())
    outside = re.sub(r"<script.*?</script>", "", document, flags=re.S)
    assert "<b>$$" not in outside
    assert "<title>&lt;/script&gt;" in outside
    assert not re.search(r'(src|href)="https?:', outside)
    assert "bokeh-gl" not in document
    assert "bokeh-tables" not in document
    assert document.count("<figure") == len(figures)
    assert document.count("roam-table") >= 5
    scripts = re.findall(r"<script[^>]*>", document)
    assert len(scripts) == document.count("</script>")  # no name closes a script
    assert len(document.encode()) < 2_500_000
    assert "<figure" not in page("nothing", {})


def test_the_whole_tree_travels_with_the_graph():
    plan = planned(blocks(12))
    tree = views_of(plan).graph.tree
    found = json.loads(source(linked(plan)["graph"], "opened").tags[0])
    assert len(found["parent"]) == len(tree.nodes)
    assert sum(kept[4] for kept in found["kept"]) == sum(kept.bytes for kept in tree.kept)
