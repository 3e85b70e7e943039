"""What is said of rewriting: rows by kind, in the text report, the table of what-ifs and the page."""

from dataclasses import replace

import pytest

from roam_lab.plan import make_plan
from roam_lab.report.brief import brief_html, write_brief
from roam_lab.report.headline import verdict_sentence
from roam_lab.report.rewrites import kind_rows, saved_text
from roam_lab.report.rows import plan_data
from roam_lab.report.text import plan_text
from roam_lab.report.whatif_table import COLUMNS
from roam_lab.report.whatifs import WhatIfs
from tests.report.views.test_frontier import FOUND
from tests.rewrite.graphs import blocks


@pytest.fixture(scope="module")
def plan():
    return make_plan(blocks(4), extra_time=0.2, alignment=1)


def test_a_row_a_kind(plan):
    rows = kind_rows(plan)
    assert sum(row.saved_bytes for row in rows) == plan.captured_peak_bytes - plan.peak_bytes
    assert rows[-1].kind == "recompute"
    assert rows[-1].ops == sum(rewrite.kind == "recompute" for rewrite in plan.rewrites)
    assert "storages" in rows[-1].note
    old = kind_rows(replace(plan, savings=()))
    assert {row.kind: row.ops for row in old} == {row.kind: row.ops for row in rows if row.ops}
    assert {row.saved_bytes for row in old} == {None}
    assert "not noted" in plan_text(replace(plan, savings=()))


def test_the_text_report_says_what_it_cost(plan):
    message = plan_text(plan)
    assert "Each row on top of those above it" in message
    assert f"{100 * plan.extra_time:.1f} % more time" in verdict_sentence(plan)
    assert "Order gains nothing" not in message
    assert "captured reservation" not in message  # the graph that is at hand is not the captured one
    assert plan_data(plan)["eager_reservation_bytes"] is None


def test_the_table_of_what_ifs_names_strategy_time_and_savings(plan):
    rows = WhatIfs()
    rows.add(make_plan(blocks(4), alignment=1))
    row = rows.add(plan)
    assert row.name == f"auto {100 * plan.extra_time:+.1f} %"
    line = dict(zip(COLUMNS, rows.table()[2], strict=True))
    assert line["rewritten"] == "auto"
    assert line["more time"] == f"{100 * plan.extra_time:.1f} %"
    assert line["peak saved by"] == saved_text(plan) != ""
    assert rows.table()[0][COLUMNS.index("rewritten")] == ""
    assert rows.to_data()[1]["savings"][-1]["kind"] == "recompute"


def test_the_page_has_the_split_and_the_figure_where_a_frontier_is_known(plan, tmp_path):
    page = brief_html(plan)
    assert "<h2>Rewriting</h2>" in page
    assert "live bytes in captured order" in page
    assert "Alive at the captured peak" not in page
    write_brief(str(tmp_path / "b.html"), plan, frontier=FOUND)
    assert "Memory against extra time" in (tmp_path / "b.html").read_text()
    write_brief(str(tmp_path / "c.html"), plan)
    assert "Memory against extra time" not in (tmp_path / "c.html").read_text()
