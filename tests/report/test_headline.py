"""The headline: one figure wherever a gain is told, and a sentence that says how it is known."""

import json
from dataclasses import replace

import pytest

from roam_lab.errors import FormatError
from roam_lab.ir import graph_to_data
from roam_lab.ir.graph_json import graph_from_data
from roam_lab.plan import Profile, make_plan
from roam_lab.plan.devices import GIB, Device
from roam_lab.plan.frontier import Frontier, LaidOutPoint
from roam_lab.plan.plan import plan_to_data
from roam_lab.plan.plan_json import plan_from_data
from roam_lab.report.headline import (
    Smaller,
    eager_sentence,
    fits_text,
    headline,
    smaller_plans,
    verdict_sentence,
)
from roam_lab.report.rows import plan_data, profile_data, short_rows
from roam_lab.report.text import plan_text, profile_text, verdict_text
from tests.report.graphs import KIB, branches, chain, eager_branches
from tests.rewrite.graphs import blocks

HEADLINE = "264.0 -> 115.0 KiB, -56.4 %"
"""Of `branches`, where eager itself peaks at 254 KiB above 10 KiB: the planned graph's captured peak is 204 KiB."""


@pytest.fixture
def profile():
    return Profile(
        graph=replace(branches(), eager_peak_bytes=254 * KIB),
        eager_graph=eager_branches(),
        resident={"parameter": 10 * KIB},
    )


def test_every_face_tells_the_same_figure(profile):
    plan = profile.plan()
    assert plan.headline == headline(plan) == headline(plan, profile) == HEADLINE
    for text in (repr(plan), plan_text(plan), plan_text(plan, profile), verdict_text(plan, HEADLINE, profile)):
        assert HEADLINE in text
    assert verdict_sentence(plan).startswith(f"{HEADLINE}, predicted;")
    rows = {row[0]: row for row in short_rows(plan, profile)}
    assert rows["whole step"] == ("whole step", "264.0 KiB", "115.0 KiB", "-56.4 %, predicted")
    assert rows["on top"][1:3] == ("254.0 KiB", "105.0 KiB")
    data = plan_data(plan)
    assert (data["eager_step_bytes"], data["planned_step_bytes"]) == (264 * KIB, 115 * KIB)
    assert profile_data(profile)["eager_step_bytes"] == 264 * KIB
    assert profile_text(profile).startswith(f"branches: {eager_sentence(profile)}\n")
    assert "264.0 KiB whole step, eager, predicted" in eager_sentence(profile)


def test_eagers_own_peak_goes_with_graph_and_plan(profile):
    graph = graph_from_data(json.loads(json.dumps(graph_to_data(profile.graph))))
    assert graph.eager_peak_bytes == 254 * KIB
    plan = make_plan(graph)
    again = plan_from_data(json.loads(json.dumps(plan_to_data(plan))))
    assert (again, again.headline) == (plan, HEADLINE)
    assert graph == branches()  # it is no part of what a graph is
    for wrong in (-1, 2**61, "many", 1.5, True):
        with pytest.raises(FormatError, match="eager_peak_bytes"):
            graph_from_data({**graph_to_data(graph), "eager_peak_bytes": wrong})
        with pytest.raises(FormatError, match="eager_peak_bytes"):
            plan_from_data({**plan_to_data(plan), "eager_peak_bytes": wrong if wrong != 2**61 else 2**63})


def test_what_ops_take_for_themselves_is_eagers_too():
    """The planned graph counts workspaces, which eager's own, of tensors alone, does not: the larger of the two."""
    small = replace(branches(), eager_peak_bytes=1)
    assert make_plan(small).headline == "214.0 -> 115.0 KiB, -46.3 %"
    assert Profile(graph=branches(), eager_graph=chain(2), resident={}).eager_bytes == 204 * KIB


def test_the_sentence_says_what_was_done_and_how_good_it_is(profile):
    assert verdict_sentence(profile.plan()).endswith("; proven, order only.")
    nothing = verdict_sentence(make_plan(chain(5)))
    assert "; proven, order gains nothing. What is alive at the peak decides;" in nothing
    rewritten = make_plan(blocks(4), extra_time=0.2, alignment=1)
    assert f"; rewritten (recompute; {100 * rewritten.extra_time:.1f} % more time, " in verdict_sentence(rewritten)
    message = verdict_sentence(profile.plan(), profile, [Smaller(0.05, 20 * KIB, 0.04)])
    assert message.endswith("order only. With +5 % time: 20.0 KiB.")
    bare = replace(profile.plan(), graph=None)
    assert "a bare plan does not know" in verdict_sentence(bare)


def test_fits_names_the_smallest_gpu_and_the_margin():
    assert fits_text(10 * GIB) == "fits 16 GB with 4.00 GiB to spare"  # one GiB is the driver's
    assert fits_text(14 * GIB - 1) == "barely fits 16 GB with 1 B to spare"
    assert fits_text(14 * GIB + 1) == "fits 24 GB with 7.00 GiB to spare"
    assert fits_text(1000 * GIB) == "fits no single GPU (the largest known has 141 GB)"
    assert fits_text(GIB, (Device("mine 3 GB", 3 * GIB),)) == "fits 3 GB with 1.00 GiB to spare"


def test_more_time_is_told_where_a_plan_or_a_frontier_knows_it():
    plan = make_plan(blocks(4), alignment=1)
    quick, slow = (make_plan(blocks(4), extra_time=most, alignment=1) for most in (0.05, 0.25))
    stranger = replace(slow, graph_sha256="another", arena_bytes=1)
    found = smaller_plans(plan, [plan, quick, slow, stranger])
    known = {one.allowed: one.step_bytes for one in found}
    assert known[0.25] == slow.resident_bytes + slow.arena_bytes
    assert all(one.step_bytes < plan.resident_bytes + plan.arena_bytes for one in found)
    points = tuple(LaidOutPoint(time, size, size, 0, 0) for time, size in ((0.0, 9), (0.04, 5), (0.2, 3), (0.5, 1)))
    frontier = Frontier("blocks", 0, 99, points, "times")
    seen = smaller_plans(plan, (), frontier)
    assert [(one.name, one.step_bytes - plan.resident_bytes) for one in seen] == [("+5 % time", 5), ("+25 % time", 3)]
    assert smaller_plans(replace(plan, arena_bytes=3), (), frontier) == []
