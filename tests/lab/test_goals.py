"""Budget and extra time as widgets: what they give `make_plan`, and how slider and text follow each other."""

from __future__ import annotations

import pytest

from roam_lab.app.argument_types import size
from roam_lab.errors import InputError, ParameterError
from roam_lab.lab.goals import STEPS, Goals, size_text
from tests.report.views.test_frontier import FOUND, MIB


@pytest.fixture
def heard() -> list[int]:
    return []


@pytest.fixture
def goals(heard: list[int]) -> Goals:
    return Goals(lambda: heard.append(1))


def test_nothing_is_asked_for_at_first(goals: Goals) -> None:
    assert not goals.active
    assert goals.settings() == {"rewrites": ("in_place", "fuse", "recompute")}
    assert goals.budget_slider.disabled
    assert goals.time_slider.disabled


def test_an_extra_time_is_a_fraction(goals: Goals, heard: list[int]) -> None:
    goals.with_time.value = True
    assert goals.settings()["extra_time"] == 0.05
    goals.time_slider.value = 0.5
    assert goals.settings()["extra_time"] == 0.5
    assert [value for _, value in goals.time_slider.options][::50] == [0.0, 0.5]
    goals.kinds["fuse"].value = False
    assert goals.settings()["rewrites"] == ("in_place", "recompute")
    assert len(heard) == 3
    for box in goals.kinds.values():
        box.value = False
    with pytest.raises(ParameterError, match="no kind of rewriting is ticked"):
        goals.settings()


def test_a_budget_runs_from_the_least_known_to_the_captured_whole(goals: Goals, heard: list[int]) -> None:
    goals.with_budget.value = True
    assert goals.needs_range
    assert "budget" not in goals.settings()
    goals.set_range(FOUND)
    assert not goals.needs_range
    places = [place for _, place in goals.budget_slider.options]
    assert places[0] == 500 * MIB
    assert places[-1] == 1100 * MIB
    assert len(places) == STEPS + 1
    assert goals.budget_slider.options[0][0] == "500.0 MiB"
    assert goals.settings()["budget"] == 1000 * MIB  # what 5 % of extra time needs
    assert heard == [1]
    goals.budget_slider.value = places[10]
    assert goals.settings()["budget"] == places[10]
    goals.budget_text.value = "0.6 GiB"
    assert goals.settings()["budget"] == int(0.6 * 2**30)
    assert abs(goals.budget_slider.value - int(0.6 * 2**30)) <= 6 * MIB
    assert len(heard) == 3  # a change, whichever widget it was made in, is told once


@pytest.mark.parametrize("text", ["lots", "-1", "12 GB", "nanGiB"])
def test_nonsense_is_one_sentence(goals: Goals, text: str) -> None:
    goals.with_budget.value = True
    goals.budget_text.value = text
    with pytest.raises(InputError, match=r"budget: .* is not a size; give bytes, or such as 512MiB"):
        goals.settings()


def test_a_point_of_the_frontier_is_taken_as_extra_time(goals: Goals, heard: list[int]) -> None:
    goals.with_budget.value = True
    goals.take_time(0.0819)
    assert "budget" not in goals.settings()
    assert goals.settings()["extra_time"] == 0.0819
    assert ("8.2 %", 0.0819) in goals.time_slider.options
    assert len(heard) == 2


@pytest.mark.parametrize("count", [0, 7, 3 * 2**10, 5 * MIB, 24 * 2**30, 2**30 + 1])
def test_sizes_are_written_without_loss(count: int) -> None:
    assert size(size_text(count)) == count
