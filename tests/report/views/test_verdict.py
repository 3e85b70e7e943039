"""The verdict: stacked bars that come to the headline, lines of GPUs that are near, the same in words and as SVG."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from roam_lab.plan import Profile, make_plan
from roam_lab.plan.devices import GIB, Device
from roam_lab.report.figures import alt_text
from roam_lab.report.figures.verdict import verdict_figure
from roam_lab.report.headline import headline
from roam_lab.report.pictures.verdict import verdict_picture
from roam_lab.report.units import bytes_text
from roam_lab.report.views.look import ink_on, kind_looks
from roam_lab.report.views.verdict import (
    ALLOCATOR,
    ARENA,
    GREYS,
    KIND_NAMES,
    LAYOUT,
    LIVE,
    Bar,
    Part,
    VerdictView,
    profile_verdict_view,
    verdict_view,
)
from tests.plan.graphs import empty
from tests.report.graphs import KIB, branches, eager_branches
from tests.report.views.graphs import bare_of_places, blocks
from tests.rewrite import graphs as rewritable


def sizes(bar):
    return {part.name: part.bytes for part in bar.parts}


@pytest.fixture
def profile():
    resident = {"parameter": 4 * KIB, "state": 3 * KIB, "batch": 2 * KIB, "buffer": KIB}
    return Profile(graph=branches(), eager_graph=eager_branches(), resident=resident)


def test_the_parts_come_to_the_headline(profile):
    plan = profile.plan()
    view = verdict_view(plan, profile)
    eager, planned = view.bars
    assert (eager.step_bytes, planned.step_bytes) == (264 * KIB, 10 * KIB + plan.arena_bytes)
    for bar in view.bars:
        found = sizes(bar)
        beside = found.pop(ALLOCATOR, 0)
        assert sum(found.values()) == bar.step_bytes
        assert bar.end_bytes == bar.step_bytes + beside
    assert sizes(eager)["weights"] == 4 * KIB
    assert sizes(eager)["other residents"] == KIB
    assert sizes(eager)["activations"] == 104 * KIB
    assert sizes(eager)["gradients"] == 150 * KIB
    # eager's segment of 2 MiB holds all of it
    assert sizes(eager)[ALLOCATOR] == 2 * 2**20 - 264 * KIB
    assert view.sentence.startswith(headline(plan, profile))


def test_without_a_profile_as_much_is_told_as_the_plan_knows():
    plan = make_plan(branches())
    assert sizes(verdict_view(plan).bars[0]) == {"resident": 10 * KIB, "activations": 104 * KIB, "gradients": 100 * KIB}
    knows_eager = verdict_view(make_plan(replace(branches(), eager_peak_bytes=254 * KIB))).bars[0]
    assert sizes(knows_eager) == {"resident": 10 * KIB, LIVE: 254 * KIB}
    gaps = replace(plan, arena_bytes=plan.peak_bytes + 7)
    assert sizes(verdict_view(gaps).bars[1])[LAYOUT] == 7


def test_a_step_that_is_not_planned_has_eagers_bar(profile):
    view = profile_verdict_view(profile)
    assert [bar.name for bar in view.bars] == ["eager"]
    assert view.bars == (verdict_view(profile.plan(), profile).bars[0],)


def test_plans_that_take_more_time_are_bars_of_their_own():
    plan, slow = (make_plan(rewritable.blocks(4), extra_time=most, alignment=1) for most in (None, 0.25))
    view = verdict_view(plan, None, [slow])
    assert view.bars[-1].step_bytes == slow.resident_bytes + slow.arena_bytes
    assert "% time" in view.bars[-1].name
    assert "With +25 % time" in view.sentence or "With +5 % time" in view.sentence
    assert verdict_view(slow).bars[1].name.startswith("planned, +")


def test_lines_are_those_of_gpus_that_are_near():
    graph = replace(branches(), unlisted_resident_bytes=20 * GIB)
    names = [line.name for line in verdict_view(make_plan(graph)).lines]
    assert names == ["16 GB", "24 GB", "40 GB"]  # one line for both of 24 GB, by the smaller; the next one above
    assert verdict_view(make_plan(branches())).lines == ()  # nothing so small is sold
    own = (Device("mine 1 GB", 2 * GIB), Device("other 9 GB", 40 * GIB))
    assert [line.room_bytes for line in verdict_view(make_plan(graph), devices=own).lines] == [GIB, 39 * GIB]


@pytest.mark.parametrize(
    "graph",
    [empty(), branches(), bare_of_places(blocks(12)), blocks(2, hostile=True)],
    ids=lambda graph: graph.name[:9],
)
def test_the_picture_says_what_it_shows(graph):
    view = verdict_view(make_plan(replace(graph, unlisted_resident_bytes=20 * GIB)))
    svg = verdict_picture(view)
    root = ElementTree.fromstring(svg)
    message = "".join(root.itertext())
    assert root.attrib["role"] == "img"
    assert len(svg) < 60_000
    assert view.sentence in message  # in its description
    assert view.sentence in svg.alt
    assert "16 GB" in message
    assert "<script" not in svg
    for bar in view.bars:
        assert bar.name in message
        assert f"{bar.name} " in view.alt
    assert [row[1] for row in view.table.rows].count("whole step") == len(view.bars)
    ElementTree.fromstring(view.table.html())


def test_names_and_sizes_stand_whole_and_what_is_reserved_is_told(profile):
    slow = make_plan(rewritable.blocks(4), extra_time=0.25, alignment=1)
    for view in (verdict_view(slow), verdict_view(profile.plan(), profile)):
        words = [
            one.text for one in ElementTree.fromstring(verdict_picture(view)).iter("{http://www.w3.org/2000/svg}text")
        ]
        assert not any("…" in word for word in words)
        for bar in view.bars:
            assert bar.name in words
            assert bar.end_text in words
        sizes_told = [word for word in words if re.match(r".*\D [\d.,]+( |$)", word)]
        assert sizes_told
        assert all(word.endswith("B") for word in sizes_told)  # with its unit
    eager = profile_verdict_view(profile).bars[0]
    assert eager.end_text == "264.0 KiB, reserves 2.0 MiB"
    assert verdict_view(slow).bars[0].end_text == bytes_text(verdict_view(slow).bars[0].step_bytes)


def test_bokeh_draws_the_same_bars(profile):
    view = verdict_view(profile.plan(), profile)
    drawn = verdict_figure(view)
    data = next(one.data for one in drawn.references() if one.name == "roam-verdict-data")
    parts = [(bar.name, part.name, part.bytes) for bar in view.bars for part in bar.parts]
    assert list(zip(data["bar"], data["part"], data["bytes"], strict=True)) == parts
    assert max(data["right"]) == pytest.approx(max(bar.end_bytes for bar in view.bars) / view.unit[1])
    ends = [one.data["text"] for one in drawn.references() if "text" in getattr(one, "data", {})]
    assert [bar.end_text for bar in view.bars] in ends
    assert alt_text(drawn) == view.alt


def test_labels_are_read_on_every_kind_and_sums_have_a_colour_of_their_own():
    """A label of "computed again" is white, as dark text is too faint on its blue; what is several kinds together does
    not look as one of them."""
    kinds = ("activation", "gradient", "temporary", "workspace", "output", "recomputed", "offloaded")
    names = [KIND_NAMES.get(kind, kind) for kind in kinds]
    looks = dict(zip(names, kind_looks(kinds).values(), strict=True))
    bar = Bar("planned", 70 * 2**20, tuple(Part(name, 10 * 2**20) for name in names), "predicted")
    drawn = ElementTree.fromstring(verdict_picture(VerdictView("step", "Much.", (bar,), (), looks)))
    inks = [one.attrib["style"] for one in drawn.iter("{http://www.w3.org/2000/svg}text") if "style" in one.attrib]
    assert inks == [f"fill:{ink_on(look.light)}" for look in looks.values()]
    assert len(set(inks)) == 2
    for name in (LIVE, ARENA):
        assert GREYS[name].light not in {look.light for look in looks.values()}
