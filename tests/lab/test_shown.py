"""A verdict as a cell shows it: soon, also of a large step, and safe whatever a file's names hold."""

import re
import time
from dataclasses import replace

from roam_lab.ir.measured import MeasuredCurve
from roam_lab.lab.head import head_html
from roam_lab.lab.shown import plan_shown, profile_shown
from roam_lab.plan import Profile, make_plan
from roam_lab.report.rows import short_rows
from tests.report.views.graphs import HOSTILE, blocks


def test_a_step_of_2000_ops_is_in_view_within_two_seconds_of_its_capture() -> None:
    profile = Profile(graph=blocks(220), resident={"parameter": 10**6})
    assert len(profile.graph.ops) > 1_900
    profile_shown(Profile(graph=blocks(3)))._repr_html_()  # what is loaded once is there
    began = time.perf_counter()
    early = profile_shown(profile, "Planning ...")
    html = early._repr_html_()
    assert time.perf_counter() - began < 2
    assert "Planning ..." in html
    assert "<img " in html[:60]
    assert len(html) < 500_000


def test_names_of_files_stay_text() -> None:
    graph = blocks(2, hostile=True)
    storages = tuple(replace(one, kind=HOSTILE) for one in graph.storages)
    plan = make_plan(replace(graph, name=HOSTILE, storages=storages))
    measured = MeasuredCurve((HOSTILE,), (9,), HOSTILE, HOSTILE)
    profile = Profile(graph=plan.graph, measured=measured, differences=(HOSTILE,))
    for html in (
        plan_shown(plan, profile, HOSTILE)._repr_html_(),
        profile_shown(profile)._repr_html_(),
        head_html(plan, profile),
    ):
        assert HOSTILE not in html
        assert "<script" not in html


def test_a_size_and_its_unit_stay_on_one_line() -> None:
    plan = make_plan(blocks(2))
    sizes = [row[at] for row in short_rows(plan)[1:] for at in (1, 2) if row[at]]
    assert len(sizes) > 5
    for html in (plan_shown(plan)._repr_html_(), head_html(plan)):
        whole = re.findall(r'<td style="text-align:right;white-space:nowrap">([^<]+)</td>', html)
        assert whole[: len(sizes)] == sizes
