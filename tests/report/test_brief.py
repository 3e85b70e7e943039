"""The report for those who decide: true figures, nothing loaded, nothing run that a name smuggles in."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from roam_lab.errors import InputError
from roam_lab.plan import Plan, Profile, make_plan
from roam_lab.plan.devices import DEVICES, Device
from roam_lab.plan.fit import Fit
from roam_lab.plan.frontier import make_frontier
from roam_lab.plan.runs import Point
from roam_lab.report.brief import Prices, brief_html
from roam_lab.report.brief.decision import batch_in, decide
from roam_lab.report.pictures import plan_picture
from roam_lab.report.units import bytes_text, exact_text
from roam_lab.runtime.measured_run import RunFigures
from roam_lab.runtime.verification import Verification
from tests.plan.graphs import SMALL
from tests.plan.training_step import training_step
from tests.rewrite.graphs import blocks

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
    message = "This step was captured on the CPU: CUDA may choose other kernels"
    page = brief_html(plan)
    assert message in page
    updates = sum(op.phase == "update" for op in plan.graph.ops if plan.graph)
    assert f"one by one here and many in a call there ({updates:,} ops)" in page
    assert "Kernels of another device may keep other tensors" not in page
    on_cuda = brief_html(replace(plan, environment={"device": "cuda"}))
    assert message not in on_cuda
    assert "Kernels of another device may keep other tensors" in on_cuda


def test_eager_and_captured_are_told_apart_once(plan: Plan) -> None:
    assert plan.graph is not None
    more = replace(plan.graph.storages[0], bytes=plan.graph.storages[0].bytes + 2**20)
    eager = replace(plan.graph, storages=(more, *plan.graph.storages[1:]))
    page = brief_html(plan, profile=Profile(graph=plan.graph, eager_graph=eager))
    assert page.count("Eager itself peaks at") == 1
    assert "of the captured order (eager)." in page
    assert "Alive at the captured peak (planned graph)" in page
    alone = brief_html(plan)
    assert "Eager itself peaks at" not in alone
    assert "of the captured order (planned graph)." in alone


def test_nothing_is_loaded(plan: Plan) -> None:
    page = brief_html(plan, pictures=[("curve", plan_picture(plan))])
    assert not re.findall(r"(?:src|href)\s*=", page)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page


def test_the_table_of_gpus_says_what_fits_and_what_is_spare(plan: Plan) -> None:
    """T4: 14 GiB for a step; a margin of 5 % of 15 GiB."""
    assert plan.graph is not None
    resident = plan.graph.resident_bytes
    whole = resident + plan.arena_bytes
    above = 14 * GIB - GIB // 2 - resident
    points = (Point(1, resident, above, plan.arena_bytes), Point(8, resident, 20 * GIB, 8 * plan.arena_bytes))
    page = brief_html(plan, fit=Fit("f", points), batch=1).replace("\u00a0", " ")
    tags = Tags(page)
    assert len([box for box in tags.named("input") if "data-price" in box]) == 8
    assert '<td class="barely">barely fits, 512.0 MiB free</td>' in page  # eager on the T4
    assert f'<td class="yes no-break">fits, {bytes_text(14 * GIB - whole)} free</td>' in page
    assert "RTX 4090 24 GB for plain PyTorch" not in page  # L4 24 GB holds less, and is enough
    assert (
        "The smallest GPU that holds it with a margin of 5 %: L4 24 GB for plain PyTorch (7.50 GiB to spare), T4 16 GB"
        in page
    )
    assert "too large, " not in page
    cached = replace(points[0], eager_bytes=15 * GIB, eager_least_bytes=9 * GIB)
    message = brief_html(plan, fit=Fit("f", (cached, points[1])), batch=1)
    assert '<td class="barely">barely fits, by giving back its cache</td>' in message
    assert message.count("by giving back its cache") == 1  # the T4 alone has less than 15 GiB
    assert '<td class="no">too large, 6.' in brief_html(plan, fit=Fit("f", points), batch=8)


def test_a_search_cap_is_no_answer(plan: Plan) -> None:
    """A step that hardly grows: the largest captured size is a floor, no prediction."""
    points = tuple(Point(batch, 0, 1000 + batch, 1000 + batch) for batch in (1, 8))
    page = brief_html(plan, fit=Fit("f", points), batch=1)
    assert page.count("8 or more") == 16
    assert "1,048,576" not in page


def test_every_way_says_how_it_is_known(plan: Plan) -> None:
    page = brief_html(make_plan(blocks(6), environment={"device": "cpu"}))
    for text in (
        "every block checkpointed",
        "the captured ops",
        "simulated",
        "arena that the plan",
    ):
        assert text in page
    assert "Where each figure is from" in page
    assert "Step times are not measured" in page or "Speed unknown" in page


def test_a_rewritten_plan_alone_says_what_it_does_not_know() -> None:
    plan = make_plan(blocks(6), extra_time=0.3, environment={"device": "cpu"})
    assert plan.rewrites
    page = brief_html(plan)
    assert "live bytes in captured order; what an allocator loses comes on top" in page
    found = make_frontier(blocks(6), 3)
    assert found.eager_bytes is not None
    with_it = brief_html(plan, frontier=found)
    assert f"Plain PyTorch, {exact_text(found.eager_bytes)}, predicted: PyTorch" in with_it
    assert "bf16" in with_it or "every block checkpointed" in with_it


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("int64[4, 128]@cpu, int64[4, 128]@cpu", 4),
        ("float32[8, 3, 32, 32]@meta, int64[8]@meta", 8),
        ("int64[4, 128]@cpu, int64[5]@cpu", None),
        ("float32[]@cpu", None),
        ("", None),
        ("[" + "9" * 5000 + "]", None),
    ],
)
def test_the_batch_size_of_an_environment(text: str, size: int | None) -> None:
    assert batch_in(text) == size


def test_prices(plan: Plan) -> None:
    own = Prices({"T4": 0.25, "h100 80 gb": 3.0}).of(DEVICES)
    assert {one.name: one.price_per_hour for one in own}["T4 16 GB"] == 0.25
    assert {one.name: one.price_per_hour for one in own}["L40S 48 GB"] == 1.90
    in_euros = Prices({"L4 24": 0.5}, "EUR").of(DEVICES)
    assert [one.name for one in in_euros if one.price_per_hour is not None] == ["L4 24 GB"]
    with pytest.raises(InputError, match="no GPU of the page is named 'H10 80 GB'; did you mean 'H100 80 GB'"):
        brief_html(plan, prices=Prices({"H10 80 GB": 1.0}))


def test_what_was_measured_comes_first(plan: Plan) -> None:
    figures = RunFigures(base_bytes=0, peak_above_base_bytes=4 * GIB, how="test", step_seconds=(2.0,), losses=(1.0,))
    half = replace(figures, peak_above_base_bytes=2 * GIB, step_seconds=(1.0,))
    verification = Verification(True, (), 4, "cpu", figures, half)
    page = brief_html(plan, verification=verification)
    assert "Measured on cpu" in page
    assert "2.00 GiB above what the process held before, where eager PyTorch took 4.00 GiB (-50.0 %)" in page
    assert "the same numbers, bit for bit" in page
    assert "its step time on cpu says nothing about a GPU" in page
    assert "2.00 times" not in page
    on_cuda = brief_html(plan, verification=replace(verification, device="cuda"))
    assert "at 0.50 times its step time there" in on_cuda
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
    assert [script.get("type") for script in tags.named("script")] == ["application/json", None]
    assert tags.named("img") == []


@pytest.mark.parametrize("name", SMALL)
def test_any_graph(name: str) -> None:
    Tags(brief_html(make_plan(SMALL[name])))


def test_a_bare_plan_is_refused(plan: Plan) -> None:
    with pytest.raises(InputError, match="bare"):
        brief_html(replace(plan, graph=None))


def test_hostile_names_of_a_fits_file_stay_text(plan: Plan) -> None:
    evil = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)>\u202e&'
    fit = Fit(evil, (Point(1, 0, 5, 3), Point(4, 0, 9, 7)), (Device(evil, 4 * GIB, GIB, 1.0, evil),))
    tags = Tags(brief_html(plan, fit=fit, batch=1, prices=Prices(currency=evil, per_hour={evil: 2.0})))
    assert [script.get("type") for script in tags.named("script")] == ["application/json", None]
    assert tags.named("img") == []
    assert [box["data-price"] for box in tags.named("input") if "data-price" in box] == [evil]


def test_the_first_sentence_compares_what_the_tables_compare(plan: Plan) -> None:
    page = brief_html(plan)
    lead = re.search(r'<p class="lead">(.*?)</p>', page, re.S)
    assert lead is not None
    first = lead[1].replace("\u00a0", " ").replace("&nbsp;", " ")
    eager, ours = decide(plan).eager, decide(plan).plan
    message = (
        f"reserves {bytes_text(eager.whole_bytes)} of memory with plain PyTorch and {bytes_text(ours.whole_bytes)}"
    )
    assert message in first
    before, after = (bytes_text(plan.resident_bytes + part) for part in (plan.eager_bytes, plan.arena_bytes))
    assert f"the whole step goes from {before}" in first
    assert f"to {after} with the plan's arena" in first.replace("&#x27;", "'")
