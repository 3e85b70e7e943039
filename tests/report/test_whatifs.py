"""The list of what-ifs: names, the pinned baseline, deltas."""

from __future__ import annotations

import pytest

from roam_lab.errors import InputError
from roam_lab.plan import Plan, make_plan
from roam_lab.report.whatifs import COLUMNS, WhatIfs
from tests.plan.graphs import pumpkin
from tests.plan.training_step import training_step


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    return {name: make_plan(training_step(3), order=name) for name in ("captured", "auto")}


def cell(rows: WhatIfs, name: str, column: str) -> str:
    (line,) = (line for line in rows.table() if line[0].removeprefix("★ ") == name)
    return line[COLUMNS.index(column)]


def test_names_are_made_and_kept_apart(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    assert [rows.add(plans["auto"]).name, rows.add(plans["auto"], node_limit=64).name] == ["auto", "auto-64"]
    assert rows.add(make_plan(pumpkin())).name == "auto (2)"
    assert rows.add(plans["auto"], "mine").name == "mine"
    assert len(rows) == 4


def test_the_same_plan_is_added_once(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    assert rows.add(plans["auto"]) is rows.add(plans["auto"])
    assert len(rows) == 1


def test_a_name_given_again_is_replaced(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(plans["captured"], "a")
    rows.add(plans["auto"], "a")
    assert [row.plan.order_strategy for row in rows] == ["auto"]


def test_deltas_are_against_the_pinned_baseline(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(plans["captured"])
    rows.add(plans["auto"])
    assert rows.baseline is rows["captured"]
    assert cell(rows, "captured", "Δ") == ""
    assert cell(rows, "auto", "Δ").startswith("-")
    rows.pin("auto")
    assert cell(rows, "captured", "Δ").startswith("+")
    assert rows.table()[1][0] == "★ auto"
    rows.remove("auto")
    assert rows.baseline is rows["captured"]
    rows.remove("captured")
    assert rows.baseline is None
    assert rows.table() == []


def test_what_was_measured_is_shown(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(plans["auto"])
    assert cell(rows, "auto", "measured") == "not run"
    rows.measured("auto", 3 * 2**20, 0.8, True)
    assert cell(rows, "auto", "measured") == "3.0 MiB, same bits"
    assert cell(rows, "auto", "step time") == "0.80 x eager"


@pytest.mark.parametrize("act", [WhatIfs.pin, WhatIfs.remove, WhatIfs.__getitem__])
def test_an_unknown_name_is_refused(act: object, plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(plans["auto"])
    with pytest.raises(InputError, match="no what-if 'x'; there are: auto"):
        act(rows, "x")  # type: ignore[operator]
