"""Text reports draw the rows: aligned, complete, the same each time."""

import pytest

from roam_lab.plan import Profile, make_plan
from roam_lab.registry import strategies
from roam_lab.report.text import plan_text, profile_text, strategies_text, table
from roam_lab.report.units import bytes_text, change_text, exact_text
from tests.report.graphs import KIB, branches, chain


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1, "1 B"), (1023, "1,023 B"), (1024, "1.0 KiB"), (2**20, "1.0 MiB"), (5 * 2**29, "2.50 GiB")],
)
def test_bytes_text(size, text):
    assert bytes_text(size) == text


def test_other_units():
    assert exact_text(1) == "1 byte"
    assert exact_text(1234567) == "1,234,567 bytes"
    assert change_text(200, 100) == "-50.0 %"
    assert change_text(100, 110) == "+10.0 %"
    assert change_text(100000, 100001) == "0.0 %"
    assert change_text(0, 5) == ""


def test_table_aligns_columns():
    assert table([("a", "1"), ("long", "22")], frozenset({1})) == "  a      1\n  long  22"
    assert table([]) == ""


def test_plan_text():
    text = plan_text(make_plan(branches()), {"parameter": 10 * KIB})
    lines = text.splitlines()
    assert lines[0].startswith("branches: 6 ops, order ")
    assert "  captured peak      204.0 KiB    208,896 bytes  above resident, in captured order" in lines
    assert any(line.startswith("    parameter") for line in lines)
    assert "Proven optimal: every legal order holds" in text
    assert "Largest alive there:" in text


def test_profile_text():
    text = profile_text(Profile(graph=branches(), resident={"parameter": 10 * KIB}, differences=("One.", "Two.")))
    assert text.startswith("branches: 6 ops, 6 storages\n")
    assert "train.py:10" in text
    assert text.endswith("- One.\n- Two.")


def test_reports_of_empty_and_nameless_graphs():
    assert plan_text(make_plan(chain(0)))
    assert profile_text(Profile(graph=chain(0), resident={}))


def test_strategies_text_lists_the_registry():
    text = strategies_text(strategies())
    for strategy in strategies():
        assert strategy.name in text
        assert strategy.summary in text
        for parameter in strategy.parameters:
            assert parameter.help in text
