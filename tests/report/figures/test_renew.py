"""Figures that became those of another plan are what that plan's own figures are."""

from dataclasses import replace

import pytest
from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import Legend

from roam_lab.plan import make_plan
from roam_lab.report.figures import linked_views, on_select, renew, select, selection_of
from roam_lab.report.views import views_of
from tests.plan.graphs import random_graph
from tests.report.figures.alike import told
from tests.report.graphs import branches
from tests.report.views.graphs import blocks, tree_of
from tests.rewrite import graphs as rewritable


def shown(plan, **more):
    return column(*linked_views(views_of(plan), **more).values())


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


@pytest.mark.parametrize("places", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_becomes_what_it_should_be_again_and_again(places):
    model = shown(PLANS["captured"], places=places)
    document = Document()
    document.add_root(model)
    for name in ("auto", "tree", "other graph", "no names", "auto"):
        other = shown(PLANS[name], places=places)
        wanted = told(other)
        renew(model, other)
        assert told(model) == wanted, name
        assert all(one.document is document for one in model.references()), name


def test_the_comparison_itself_sees_a_difference():
    assert told(shown(PLANS["captured"])) != told(shown(PLANS["auto"]))
    assert told(shown(PLANS["auto"])) != told(shown(PLANS["auto"], selected=2))


def test_models_keep_their_identity_and_their_listeners():
    model = shown(PLANS["captured"], places=True)
    heard = []
    on_select(model, heard.append)
    select(model, 3)
    names = ("roam-memory", "roam-graph", "roam-arena", "roam-alive", "roam-tasks")
    before = [model.select_one({"name": name}) for name in names]
    selection = selection_of(model)
    renew(model, shown(PLANS["tree"], places=True))
    assert [model.select_one({"name": name}) for name in names] == before
    assert selection_of(model) is selection
    assert selection.data == {"storage": [-1]}  # another plan begins with nothing selected
    select(model, 5)
    assert heard == [3, None, 5]


def test_what_rewriting_makes_has_its_place_before_it_is_there():
    """A new renderer or entry of a legend costs a page two layouts of its figure."""
    plan, rewritten = (make_plan(rewritable.blocks(4), extra_time=most, alignment=1) for most in (None, 0.25))
    assert "recomputed" in {storage.kind for storage in rewritten.graph.storages}
    model = shown(plan, places=True)
    figures = [model.select_one({"name": f"roam-{key}"}) for key in ("memory", "arena", "icicle")]
    before = [list(one.renderers) for one in figures]
    named = [recomputed_of(one) for one in figures]
    assert [one.visible for one in named] == [False] * 3
    renew(model, shown(rewritten, places=True))
    for one, old in zip(figures, before, strict=True):
        assert set(one.renderers) <= set(old), one.name
    assert [recomputed_of(one) for one in figures] == named
    assert [one.visible for one in named] == [True] * 3
    renew(model, shown(plan, places=True))
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
    model = shown(PLANS["auto"], places=True)
    document = Document()
    document.add_root(model)
    told_to_page = []
    document.on_change(told_to_page.append)
    renew(model, shown(PLANS["auto"], places=True))
    assert told_to_page == []
    renew(model, shown(PLANS["captured"], places=True))
    assert 0 < len(told_to_page) < 60
