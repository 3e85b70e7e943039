"""Text reports draw the rows: aligned, complete, the same each time."""

import dataclasses

import pytest

from roam_lab.order.tasks import Moved, Task
from roam_lab.plan import Profile, make_plan
from roam_lab.registry import Parameter, strategies
from roam_lab.report.rows import Alive
from roam_lab.report.tasks import tasks_text
from roam_lab.report.text import alive_table, plan_text, profile_text, strategies_text, table
from roam_lab.report.units import bytes_text, change_text, exact_text
from tests.report.graphs import KIB, branches, chain, eager_branches


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
    plan = make_plan(branches())
    text = plan_text(plan, Profile(graph=branches(), resident={"parameter": 10 * KIB}))
    lines = text.splitlines()
    assert lines[0].startswith("branches: 214.0 -> 115.0 KiB, -46.3 %, predicted;")
    assert lines[2].startswith("6 ops, order ")
    row = "  captured peak        204.0 KiB    208,896 bytes  above resident, planned graph in eager's order"
    assert row in lines
    assert "Eager itself" not in text
    assert any(line.startswith("    parameter") for line in lines)
    assert "Proven optimal: every legal order holds" in text
    assert "Largest alive there:" in text
    message = plan_text(plan, Profile(graph=branches(), eager_graph=eager_branches()))
    assert message.count("Eager itself peaks at 254.0 KiB: the planned graph, whose captured peak is 204.0 KiB,") == 1


def test_profile_text():
    text = profile_text(Profile(graph=branches(), resident={"parameter": 10 * KIB}, differences=("One.", "Two.")))
    assert text.startswith("branches: 214.0 KiB whole step, eager, predicted; fits 16 GB with 14.00 GiB to spare.\n")
    assert "\n6 ops, 6 storages\n" in text
    assert "train.py:10" in text
    assert "\nThe eager peak of 204.0 KiB is at step 3 of 6" in text
    assert "captured" not in text
    assert text.endswith("- One.\n- Two.")


def test_reports_of_empty_and_nameless_graphs():
    assert plan_text(make_plan(chain(0)))
    assert profile_text(Profile(graph=chain(0), resident={}))


def test_strategies_text_lists_the_registry():
    text = strategies_text(strategies())
    flat = " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
    for strategy in strategies():
        assert f"{strategy.room} {strategy.name}\n" in text
        assert " ".join(strategy.summary.split()) in flat
        assert f"Source: {' '.join(strategy.source.split())}" in flat
        for parameter in strategy.parameters:
            assert f"{parameter.name}: {' '.join(parameter.help.split())} ({parameter.described()})" in flat


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (Parameter("a", int, 3, ""), "int; default 3"),
        (Parameter("a", float, None, "", low=0), "float, 0 or more; default None"),
        (Parameter("a", int, 9, "", high=10), "int, at most 10; default 9"),
        (Parameter("a", int, 9, "", low=8, high=1024), "int, 8 to 1024; default 9"),
        (Parameter("a", int, 0, "", low=0, high=2**31 - 1), "int, 0 to 2147483647; default 0"),
        (Parameter("a", float, 1.0, "", low=0.25), "float, 0.25 or more; default 1.0"),
        (Parameter("a", str, "x", "", choices=("x", "y")), "str, x | y; default x"),
    ],
)
def test_parameters_are_described_in_a_few_words(parameter, text):
    assert parameter.described() == text


def test_tasks_are_summed_up():
    leaves = [Task("leaf", (0, 1), 5, "optimal", "ilp", 0.25), Task("leaf", (2,), 7, "timed out", "ilp", 3.0)]
    pair = Task("segment", (0, 1, 2), 7, pair=0, children=tuple(leaves))
    other = Task("segment", (3,), 4, "optimal", "bound", pair=0)
    tree = Task("step", (0, 1, 2, 3), 7, children=(pair, other), moved=(Moved(0, 0, 1), Moved(1, 1, 1), Moved(2, 1, 1)))
    text = (
        "Split into 2 segments (1 pair of forward and backward), solved as 3 leaves: 2 optimal, 1 timed out.\n"
        "The slowest leaf took 3.00 s (1 op, ilp).\n"
        "Of 3 update ops, 1 waits for a later segment than their own."
    )
    assert tasks_text(tree) == text
    plan = make_plan(branches())
    assert text not in plan_text(plan)
    assert text in plan_text(dataclasses.replace(plan, tasks=tree))


def test_a_column_without_words_is_left_out():
    table_of = alive_table([Alive(0, 1024, "", "mm", "", ""), Alive(1, 17, "", "add", "", "")])
    assert table_of == "  1.0 KiB  mm\n     17 B  add"
