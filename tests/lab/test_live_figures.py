"""The widget's messages, as a page takes them in: after each the page holds what the kernel holds."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from bokeh.core.serialization import Buffer, Serialized
from bokeh.document import Document

from roam_lab.app.host import Host
from roam_lab.lab.figure_area import KEYS, FigureArea, _arranged
from roam_lab.lab.live_figures import LiveFigures
from roam_lab.plan import Plan, make_plan
from roam_lab.report.figures import Stage, linked_views, select
from roam_lab.report.pictures import pictures_of
from roam_lab.report.views import views_of
from roam_lab.report.views.details import no_code
from tests.report.figures.alike import told
from tests.report.views.graphs import blocks
from tests.rewrite import graphs as rewritable

GRAPH = blocks(3)


def loaded(figures: LiveFigures) -> Document:
    """What a page has that is loaded now."""
    (document,) = json.loads(json.dumps(LiveFigures._model_to_traits(figures._model)["docs_json"])).values()
    return Document.from_json(document)


class Page:
    """What the front end of jupyter_bokeh does with the widget's messages, in Python."""

    def __init__(self, figures: LiveFigures, monkeypatch: pytest.MonkeyPatch) -> None:
        self.figures = figures
        self.parts: list[Any] = []
        self.messages = 0
        self.document = loaded(figures)
        monkeypatch.setattr(figures, "send", self._take)

    def _take(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        assert content["msg"] == "patch"
        self.parts.append(buffers[0] if buffers else json.loads(content["payload"]))

    def take_in(self) -> None:
        """Apply what has been sent."""
        while self.parts:
            self.messages += 1
            header, _, content, *rest = self.parts
            number = header.get("num_buffers", 0)
            pairs = [(rest[2 * at]["id"], rest[2 * at + 1]) for at in range(number)]
            self.parts = rest[2 * number :]
            self.document.apply_json_patch(
                Serialized(content=content, buffers=[Buffer(id=name, data=data) for name, data in pairs])
            )


def drawing(plan: Plan) -> Callable[[Stage, bool], Any]:
    """What draws the figures of a plan on a stage."""
    return partial(_arranged, views_of(plan), no_code)


def live(plan: Plan) -> LiveFigures:
    return LiveFigures(drawing(plan), combine_events=True)


def afresh(plan: Plan) -> Any:
    """All that the figures of a plan are which were drawn for it alone."""
    return told(drawing(plan)(Stage(), True))


@pytest.fixture
def plans() -> list[Plan]:
    return [make_plan(GRAPH, order=name) for name in ("captured", "roam")]


def test_the_panel_has_every_figure_and_picture(plans: list[Plan]) -> None:
    views = views_of(plans[1])
    arranged = {model.name for model in _arranged(views, no_code, Stage()).references()}
    assert {drawn.name for drawn in linked_views(views, places=True).values()} <= arranged
    assert pictures_of(views).keys() <= set(KEYS)


def test_two_messages_make_the_page_show_the_next_plan(plans: list[Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    figures = live(plans[0])
    page = Page(figures, monkeypatch)
    monkeypatch.setattr(figures._later, "call", lambda rest: rest())
    for number, plan in enumerate(plans[1:], 1):
        figures.replace(drawing(plan))
        page.take_in()
        assert page.messages == 2 * number
        assert told(page.document.roots[0]) == told(loaded(figures).roots[0])
        assert told(figures._model) == afresh(plan)
    select(figures._model, 3)
    page.take_in()
    assert told(page.document.roots[0]) == told(loaded(figures).roots[0])
    figures.close()


def test_what_lies_below_comes_in_a_second_message(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = rewritable.blocks(4)
    plan, other = (make_plan(graph, extra_time=most, alignment=1) for most in (None, 0.25))
    figures = live(plan)
    page = Page(figures, monkeypatch)
    waiting: list[Any] = []
    monkeypatch.setattr(figures._later, "call", waiting.append)

    def bars() -> Any:
        return told(page.document.select_one({"name": "roam-alive-data"}))

    def boxes() -> Any:
        return told(page.document.select_one({"name": "roam-arena-data"}))

    def links() -> list[int]:
        return [len(one) for model in page.document.models for one in model.js_property_callbacks.values()]

    linked = links()
    whole, before = len(json.dumps(LiveFigures._model_to_traits(figures._model)["docs_json"])), (bars(), boxes())
    figures.replace(drawing(other))
    sent = sum(len(part if isinstance(part, bytes) else json.dumps(part)) for part in page.parts)
    page.take_in()
    assert page.messages == 1
    assert sent < whole / 3
    assert bars() == before[0]
    assert boxes() != before[1]
    assert links() == linked  # what stays is selected and searched as before
    assert told(page.document.roots[0]) == told(loaded(figures).roots[0])
    waiting.pop()()
    page.take_in()
    assert page.messages == 2
    assert bars() != before[0]
    assert told(figures._model) == afresh(other)
    assert told(page.document.roots[0]) == told(loaded(figures).roots[0])
    figures.close()


def test_another_plan_before_what_lies_below_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = rewritable.blocks(4)
    plan, roam, rewritten = (make_plan(graph, order="captured"), make_plan(graph), make_plan(graph, extra_time=0.25))
    figures = live(plan)
    page = Page(figures, monkeypatch)
    waiting: list[Any] = []
    monkeypatch.setattr(figures._later, "call", waiting.append)
    for one in (rewritten, roam, plan, rewritten):
        figures.replace(drawing(one))
    waiting[-1]()
    page.take_in()
    assert told(figures._model) == afresh(rewritten)
    assert told(page.document.roots[0]) == told(loaded(figures).roots[0])
    figures.close()


def test_a_page_that_asks_for_everything_gets_the_present_state(plans: list[Plan]) -> None:
    figures = live(plans[0])
    before = told(loaded(figures).roots[0])
    figures.replace(drawing(plans[1]))
    after = told(loaded(figures).roots[0])
    select(figures._model, 3)
    assert before != after != told(loaded(figures).roots[0])
    fresh = live(plans[1])
    assert after == told(loaded(fresh).roots[0])
    for one in (figures, fresh):
        one.close()


def checked(plan: Plan) -> Any:
    """What a page gets of figures that bokeh has checked."""
    figures = live(plan)
    try:
        return told(loaded(figures).roots[0])
    finally:
        figures.close()


@pytest.mark.parametrize(
    "settings",
    [pytest.param({"order": "roam"}, marks=pytest.mark.slow), {"extra_time": 0.25, "alignment": 1}],
    ids=["order", "time"],
)
def test_what_a_panel_sends_is_what_bokeh_has_checked(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panel lets bokeh make figures unchecked: what it turns into others where it checks them must be the same, in
    what a page gets first and in what follows."""
    first, other = make_plan(rewritable.blocks(4)), make_plan(rewritable.blocks(4), **settings)
    area = FigureArea(Host("jupyter", True, True), lambda storage: None)
    area.show(first, None)
    (document,) = json.loads(json.dumps(area._figures.render_bundle["docs_json"])).values()
    assert told(Document.from_json(document).roots[0]) == checked(first)
    page = Page(area._figures, monkeypatch)
    monkeypatch.setattr(area._figures._later, "call", lambda rest: rest())
    area.show(other, None)
    page.take_in()
    assert told(page.document.roots[0]) == checked(other)
    area.close()
