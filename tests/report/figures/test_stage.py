"""Figures that became those of another plan are what that plan's own figures are."""

from dataclasses import replace

import pytest
from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import Legend

from roam_lab.plan import make_plan
from roam_lab.report.figures import BELOW, Stage, linked_views, on_select, select, selection_of
from roam_lab.report.views import views_of
from tests.plan.graphs import random_graph
from tests.report.figures.alike import told
from tests.report.graphs import branches
from tests.report.views.graphs import blocks, tree_of
from tests.rewrite import graphs as rewritable


def shown(plan, stage=None, **more):
    """All figures of a plan in a column: drawn on a stage that shows other ones, they stay what they were."""
    stage = stage or Stage()
    figures = linked_views(views_of(plan), stage=stage, **more)
    whole = stage.once("whole", lambda: column(*figures.values()))
    stage.show()
    return whole


def with_tree(plan):
    return replace(plan, tasks=tree_of(plan.order))


BLOCKS = blocks(3)
PLANS = {
    "captured": make_plan(BLOCKS, order="captured"),
    "auto": make_plan(BLOCKS),
    "tree": with_tree(make_plan(BLOCKS, order="dfs")),
    "other graph": make_plan(branches()),
    "no names": make_plan(random_graph(4, 20)),
}


def test_becomes_what_it_should_be_again_and_again():
    stage = Stage()
    model = shown(PLANS["captured"], stage, places=True)
    document = Document()
    document.add_root(model)
    for name in ("auto", "tree", "other graph", "no names", "auto"):
        wanted = told(shown(PLANS[name], places=True))
        assert shown(PLANS[name], stage, places=True) is model
        assert told(model) == wanted, name
        assert all(one.document is document for one in model.references()), name


def test_the_comparison_itself_sees_a_difference():
    assert told(shown(PLANS["captured"])) != told(shown(PLANS["auto"]))
    assert told(shown(PLANS["auto"])) != told(shown(PLANS["auto"], selected=2))


def test_models_keep_their_identity_and_their_listeners():
    stage = Stage()
    model = shown(PLANS["captured"], stage, places=True)
    heard = []
    on_select(model, heard.append)
    select(model, 3)
    names = ("roam-memory", "roam-graph", "roam-arena", "roam-alive", "roam-tasks")
    before = [model.select_one({"name": name}) for name in names]
    selection = selection_of(model)
    shown(PLANS["tree"], stage, places=True)
    assert [model.select_one({"name": name}) for name in names] == before
    assert selection_of(model) is selection
    assert selection.data == {"storage": [-1]}  # another plan begins with nothing selected
    select(model, 5)
    assert heard == [3, None, 5]


def test_what_rewriting_makes_has_its_place_before_it_is_there():
    """A new renderer or entry of a legend costs a page two layouts of its figure."""
    plan, rewritten = (make_plan(rewritable.blocks(4), extra_time=most, alignment=1) for most in (None, 0.25))
    assert "recomputed" in {storage.kind for storage in rewritten.graph.storages}
    stage = Stage()
    model = shown(plan, stage, places=True)
    figures = [model.select_one({"name": f"roam-{key}"}) for key in ("memory", "arena", "icicle")]
    before = [list(one.renderers) for one in figures]
    named = [recomputed_of(one) for one in figures]
    assert [one.visible for one in named] == [False] * 3
    shown(rewritten, stage, places=True)
    for one, old in zip(figures, before, strict=True):
        assert set(one.renderers) <= set(old), one.name
    assert [recomputed_of(one) for one in figures] == named
    assert [one.visible for one in named] == [True] * 3
    shown(plan, stage, places=True)
    assert [one.visible for one in named] == [False] * 3


def recomputed_of(figure):
    """What the legend says of recomputed storages."""
    (legend,) = (one for one in figure.above if isinstance(one, Legend))
    (item,) = (one for one in legend.items if "recomputed" in one.label.value)
    return item


def test_without_places_legends_name_what_is_there_alone():
    figures = linked_views(views_of(PLANS["auto"]))
    for key in ("memory", "arena", "icicle"):
        (legend,) = (one for one in figures[key].above if isinstance(one, Legend))
        assert all(one.visible and "recomputed" not in one.label.value for one in legend.items)


def test_only_what_differs_is_told_to_a_page():
    stage = Stage()
    document = Document()
    document.add_root(shown(PLANS["auto"], stage, places=True))
    told_to_page = []
    document.on_change(told_to_page.append)
    shown(PLANS["auto"], stage, places=True)
    assert told_to_page == []
    shown(PLANS["captured"], stage, places=True)
    assert 0 < len(told_to_page) < 60


def test_what_a_user_has_done_in_a_page_does_not_outlive_its_plan():
    stage = Stage()
    model = shown(PLANS["auto"], stage, places=True)
    drawn = {key: model.select_one({"name": f"roam-{key}"}) for key in ("memory", "graph", "search", "play")}
    drawn["memory"].x_range.start = 5.5  # zoomed
    drawn["memory"].renderers[2].visible = False  # hidden by its entry in the legend
    drawn["graph"].height = 999
    model.select_one({"name": "roam-opened"}).data = {"node": [0, 1]}
    model.select_one({"name": "roam-cursor"}).data = {"step": [3]}
    model.select_one({"name": "roam-icicle-focus"}).data = {"node": [2]}
    model.select_one({"name": "roam-arena-data"}).selected.indices = [1]
    model.select_one({"name": "roam-frontier-data"}).selected.indices = [0]
    drawn["search"].value = drawn["search"].value_input = "attn"
    drawn["play"].active = True
    assert told(model) != told(shown(PLANS["captured"], places=True))
    shown(PLANS["captured"], stage, places=True)
    assert told(model) == told(shown(PLANS["captured"], places=True))


def test_what_stands_below_can_be_drawn_later():
    stage = Stage()
    model = shown(PLANS["captured"], stage, places=True)
    below = [model.select_one({"name": f"roam-{key}"}) for key in BELOW]
    before = [told(one.renderers[0].data_source) for one in below]
    linked_views(views_of(PLANS["tree"]), stage=stage, places=True, below=False)
    stage.show()
    assert [told(one.renderers[0].data_source) for one in below] == before
    assert told(model) != told(shown(PLANS["tree"], places=True))
    shown(PLANS["tree"], stage, places=True)
    assert told(model) == told(shown(PLANS["tree"], places=True))


def test_a_drawing_that_fails_leaves_what_is_shown_and_the_next_one_is_whole():
    stage = Stage()
    model = shown(PLANS["captured"], stage, places=True)
    views = views_of(PLANS["auto"])
    with pytest.raises(AttributeError):
        linked_views(replace(views, arena=None), stage=stage, places=True)
    with pytest.raises(KeyError, match="'roam-selection' is drawn twice"):
        linked_views(views, stage=stage, places=True)
    stage.begin()
    assert told(model) == told(shown(PLANS["captured"], places=True))
    shown(PLANS["auto"], stage, places=True)
    assert told(model) == told(shown(PLANS["auto"], places=True))
