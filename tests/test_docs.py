"""The pages under docs/ say what the code says."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import pytest

from roam_lab.registry import Parameter, Strategy, strategies
from roam_lab.report.strategy_page import ours, strategy_page

ROOT = Path(__file__).parents[1]
OURS = [entry for entry in strategies() if ours(entry)]


def test_the_strategies_page_is_what_the_registry_says():
    page = (ROOT / "docs" / "strategies.md").read_text()
    assert page == strategy_page(strategies()), "docs/strategies.md is out of date; run `make docs`"


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: f"{entry.room}-{entry.name}")
def test_every_strategy_has_its_section(entry):
    page = strategy_page(strategies())
    section = page.partition(f"### {entry.room} {entry.name}\n")[2].partition("\n### ")[0]
    assert entry.summary in section
    assert f"Source: {entry.source}" in section
    for parameter in entry.parameters:
        assert f"| `{parameter.name}` | " in section
    last = (entry.function.__doc__ or "").strip().splitlines()[-1].strip()
    assert last in section  # the docstring to its end
    assert f"(#{entry.room}-{entry.name})" in page


def test_sections_stand_in_order_and_tables_are_whole():
    page = strategy_page(strategies())
    assert re.findall(r"^### (\w+) (\w+)$", page, re.MULTILINE) == [
        (entry.room, entry.name) for room in ("order", "layout", "rewrite") for entry in OURS if entry.room == room
    ]


def test_a_bar_in_a_choice_does_not_break_the_table():
    """How."""
    how = Parameter("how", str, "a", "this | that", choices=("a", "b"))
    entry = Strategy("order", "mine", strategy_page, "Mine.", "a test", (how,))
    assert "| `how` | str, a \\| b | `a` | this \\| that |" in strategy_page([entry])


def test_strategies_of_other_packages_are_left_out():
    theirs = dataclasses.replace(OURS[0], name="theirs", function=test_strategies_of_other_packages_are_left_out)
    assert strategy_page([*OURS, theirs]) == strategy_page(OURS)


def test_the_way_of_one_storage_is_as_told(capsys):
    page = (ROOT / "docs" / "architecture.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    (message,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    exec(code, {"__name__": "__main__"})
    assert capsys.readouterr().out == message


def test_the_picture_shows_rooms_that_there_are():
    spec = importlib.util.spec_from_file_location("architecture_picture", ROOT / "docs" / "architecture_picture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "architecture.svg").read_text() == module.picture(), "run `make docs`"
    folders = re.findall(r"(\w+)/", " ".join(title for _, _, title, *_ in (*module.STAGES, *module.ASIDE)))
    assert len(folders) >= 10
    for folder in folders:
        assert (ROOT / "roam_lab" / folder).is_dir(), folder
