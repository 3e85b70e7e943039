"""The report for those who decide: true figures, nothing loaded, nothing run that a name smuggles in."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from roam_lab.errors import InputError
from roam_lab.plan import Plan, Profile, make_plan
from roam_lab.plan.fit import Fit
from roam_lab.plan.runs import Point
from roam_lab.report.brief import brief_html
from roam_lab.report.pictures import plan_picture
from roam_lab.report.units import bytes_text
from roam_lab.runtime.measured_run import RunFigures
from roam_lab.runtime.verification import Verification
from tests.plan.graphs import SMALL
from tests.plan.training_step import training_step

GIB = 2**30


class Tags(HTMLParser):
    """Counts tags, and checks that they close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(training_step(4), environment={"torch": "2.13.0", "device": "cpu"})


def test_the_figures_are_the_plans(plan: Plan) -> None:
    page = brief_html(plan)
    Tags(page)
    for size in (plan.arena_bytes, plan.peak_bytes):
        assert bytes_text(size) in page
    assert "Predicted, not yet measured" in page
    assert "proven: no order needs less" in page


def test_what_was_captured_on_the_cpu_is_named(plan: Plan) -> None:
    told = "This step was captured on the CPU: CUDA may choose other kernels"
    page = brief_html(plan)
    assert told in page
    updates = sum(op.phase == "update" for op in plan.graph.ops if plan.graph)
    assert f"one by one here and many in a call there ({updates:,} ops)" in page
    assert "Kernels of another device may keep other tensors" not in page
    on_cuda = brief_html(replace(plan, environment={"device": "cuda"}))
    assert told not in on_cuda
    assert "Kernels of another device may keep other tensors" in on_cuda


def test_eager_and_captured_are_told_apart_once(plan: Plan) -> None:
    assert plan.graph is not None
    more = replace(plan.graph.storages[0], bytes=plan.graph.storages[0].bytes + 2**20)
    eager = replace(plan.graph, storages=(more, *plan.graph.storages[1:]))
    page = brief_html(plan, profile=Profile(graph=plan.graph, eager_graph=eager))
    assert page.count("Eager itself peaks at") == 1
    assert "by simulation: captured order (eager)." in page
    assert "Alive at the captured peak (planned graph)" in page
    alone = brief_html(plan)
    assert "Eager itself peaks at" not in alone
    assert "by simulation: captured order (planned graph)." in alone


def test_nothing_is_loaded(plan: Plan) -> None:
    page = brief_html(plan, pictures=[("curve", plan_picture(plan))])
    assert not re.findall(r"(?:src|href)\s*=", page)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page


def test_the_table_of_gpus_says_what_fits(plan: Plan) -> None:
    points = tuple(Point(batch, 2 * GIB, batch * 5 * GIB, batch * 3 * GIB) for batch in (1, 8))
    fit = Fit("f", points)
    tags = Tags(brief_html(plan, fit=fit, batch=8))
    rows = {row["data-device"]: row for row in tags.named("tr") if "data-device" in row}
    assert (rows["A100 40 GB"]["data-eager"], rows["A100 40 GB"]["data-planned"]) == ("no", "yes")
    assert (rows["T4 16 GB"]["data-eager"], rows["T4 16 GB"]["data-planned"]) == ("no", "no")
    assert len([box for box in tags.named("input") if "aria-label" in box]) == len(fit.devices)


def test_what_was_measured_comes_first(plan: Plan) -> None:
    figures = RunFigures(base_bytes=0, peak_above_base_bytes=4 * GIB, how="test", step_seconds=(2.0,), losses=(1.0,))
    half = replace(figures, peak_above_base_bytes=2 * GIB, step_seconds=(1.0,))
    verification = Verification(True, (), 4, "cpu", figures, half)
    page = brief_html(plan, verification=verification)
    assert "Measured on cpu" in page
    assert "2.00 GiB above what the process held before, where eager PyTorch took 4.00 GiB (-50.0 %)" in page
    assert "the same numbers, bit for bit" in page
    other = brief_html(plan, verification=replace(verification, identical=False))
    assert "the numbers differ: do not use it" in other


def test_a_hostile_name_stays_text(plan: Plan) -> None:
    graph = plan.graph
    assert graph is not None
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    ops = tuple(replace(op, name=evil, module=evil, source=evil) for op in graph.ops)
    hostile = replace(plan, graph=replace(graph, name=evil, ops=ops), environment={"device": evil, evil: evil})
    page = brief_html(hostile, pictures=[(evil, plan_picture(hostile))])
    tags = Tags(page)
    assert len(tags.named("script")) == 1
    assert tags.named("img") == []


@pytest.mark.parametrize("name", SMALL)
def test_any_graph(name: str) -> None:
    Tags(brief_html(make_plan(SMALL[name])))


def test_a_bare_plan_is_refused(plan: Plan) -> None:
    with pytest.raises(InputError, match="bare"):
        brief_html(replace(plan, graph=None))
