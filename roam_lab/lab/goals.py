"""Widgets for the goals of rewriting: a memory budget, an extra time, and the kinds of rewriting that may be used."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from roam_lab.app.argument_types import size
from roam_lab.errors import InputError, ParameterError
from roam_lab.report.rewrites import kind_name
from roam_lab.report.units import bytes_text
from roam_lab.rewrite.kinds import KINDS, ON_DEVICE

if TYPE_CHECKING:
    from roam_lab.plan.frontier import Frontier

MOST_PERCENT = 50
FIRST_EXTRA_TIME = 0.05
"""The first budget, until the user chooses one, is what the frontier needs at this extra time."""
STEPS = 100
"""Positions of the budget's slider."""
LABEL = {"description_width": "initial"}


class Goals(widgets.HBox):  # type: ignore[misc]
    """`budget` in bytes and `extra_time` as a fraction, None where not asked for. `changed()` is called on changes;
    `kinds` of rewriting are ticked at first.

    The budget is that of the text field; the slider writes into it. The slider has a range once a frontier is known.
    """

    def __init__(self, changed: Callable[[], None], kinds: Collection[str] = ON_DEVICE) -> None:
        self._changed, self._quiet, self._first = changed, False, tuple(kinds)
        layout = {"width": "auto"}
        self.with_budget = widgets.Checkbox(value=False, description="budget", indent=False, layout=layout)
        self.budget_slider = widgets.SelectionSlider(
            options=[("not known yet", 0)], continuous_update=False, disabled=True, layout={"width": "260px"}
        )
        self.budget_text = widgets.Text(
            placeholder="such as 24GiB",
            tooltip="of the whole step, resident + arena",
            continuous_update=False,
            disabled=True,
            layout={"width": "110px"},
        )
        self.with_time = widgets.Checkbox(value=False, description="extra time", indent=False, layout=layout)
        self.time_slider = widgets.SelectionSlider(
            options=[(f"{percent} %", percent / 100) for percent in range(MOST_PERCENT + 1)],
            value=FIRST_EXTRA_TIME,
            continuous_update=False,
            disabled=True,
            layout={"width": "220px"},
        )
        self.kinds = {
            kind: widgets.Checkbox(value=kind in kinds, description=kind_name(kind), indent=False, layout=layout)
            for kind in KINDS
        }
        self.with_budget.observe(self._toggled, "value")
        self.with_time.observe(self._toggled, "value")
        self.budget_slider.observe(self._slid, "value")
        for widget in (self.budget_text, self.time_slider):
            widget.observe(self._tell, "value")
        for box in self.kinds.values():
            box.observe(self._kind_ticked, "value")
        super().__init__(
            [
                *(self.with_budget, self.budget_slider, self.budget_text, self.with_time, self.time_slider),
                *(widgets.HTML("<small>by</small>"), *self.kinds.values()),
            ],
            layout={"flex_flow": "row wrap", "grid_gap": "2px 10px", "align_items": "center"},
        )

    @property
    def active(self) -> bool:
        """Whether anything is to be rewritten."""
        return bool(self.with_budget.value or self.with_time.value)

    @property
    def needs_range(self) -> bool:
        """Whether a budget is asked for and none is chosen yet; the first is taken from a frontier."""
        return bool(self.with_budget.value and not self.budget_text.value.strip())

    @property
    def allowed(self) -> tuple[str, ...]:
        """The kinds of rewriting that are ticked."""
        return tuple(kind for kind, box in self.kinds.items() if box.value)

    def settings(self) -> dict[str, Any]:
        """As keyword arguments of `make_plan`. Raises InputError for a budget that cannot be read, ParameterError where
        a goal is set and no kind of rewriting is allowed."""
        chosen: dict[str, Any] = {"rewrites": self.allowed}
        if self.with_budget.value and not self.needs_range:
            chosen["budget"] = _bytes(self.budget_text.value)
        if self.with_time.value:
            chosen["extra_time"] = self.time_slider.value
            if not self.allowed:
                raise ParameterError("no kind of rewriting is ticked, so no extra time can be used; tick one")
        return chosen

    def set_range(self, found: Frontier) -> None:
        """Set the range of the budget's slider, from the least of `found` to the captured whole step; and the first
        budget, if none is chosen."""
        resident, captured = found.resident_bytes, found.captured_peak_bytes
        least = resident + found.points[-1].arena_bytes
        whole = max(resident + captured, least)
        unit = 2**20 if whole >= 2**30 else 2**10 if whole >= 2**20 else 1
        places = {_ceil(least + (whole - least) * number // STEPS, unit) for number in range(STEPS + 1)}
        early = [point for point in found.points if point.extra_time <= FIRST_EXTRA_TIME]
        first = (early or found.points[:1])[-1]
        self._quiet = True
        try:
            self.budget_slider.options = [(bytes_text(place), place) for place in sorted(places)]
            if not self.budget_text.value.strip():
                self.budget_text.value = size_text(_ceil(resident + first.arena_bytes, unit))
            self._follow_text()
        finally:
            self._quiet = False
        self._toggle()

    def take_time(self, extra_time: float) -> None:
        """Ask for a plan of this extra time, without a budget."""
        self._quiet = True
        try:
            self.with_budget.value, self.with_time.value = False, True
            self._stand_at(extra_time)
        finally:
            self._quiet = False
        self._toggle()
        self._changed()

    def follow(self, settings: Mapping[str, Any]) -> None:
        """Set all widgets to these settings of `make_plan`."""
        budget, extra_time = settings.get("budget"), settings.get("extra_time")
        self._quiet = True
        try:
            self.with_budget.value, self.with_time.value = budget is not None, extra_time is not None
            if budget is not None:
                self.budget_text.value = size_text(budget)
                self._follow_text()
            if extra_time is not None:
                self._stand_at(extra_time)
            kinds = settings.get("rewrites")
            for kind, box in self.kinds.items():
                box.value = kind in (self._first if kinds is None else kinds)
        finally:
            self._quiet = False
        self._toggle()

    def _stand_at(self, extra_time: float) -> None:
        """Set the slider to this extra time, which becomes one of its positions."""
        if extra_time not in [value for _, value in self.time_slider.options]:
            labelled = [*self.time_slider.options, (f"{100 * extra_time:.1f} %", extra_time)]
            self.time_slider.options = sorted(labelled, key=lambda option: option[1])
        self.time_slider.value = extra_time

    def _toggle(self) -> None:
        self.budget_text.disabled = not self.with_budget.value
        self.budget_slider.disabled = not self.with_budget.value or len(self.budget_slider.options) < 2
        self.time_slider.disabled = not self.with_time.value

    def _toggled(self, change: Any) -> None:
        self._toggle()
        self._tell(change)

    def _kind_ticked(self, change: Any) -> None:
        if self.active:
            self._tell(change)

    def _slid(self, change: Any) -> None:
        if not self._quiet:
            self.budget_text.value = size_text(self.budget_slider.value)  # whose change is reported

    def _follow_text(self) -> None:
        """Set the slider to the position nearest to the typed budget."""
        try:
            wanted = _bytes(self.budget_text.value)
        except InputError:
            return
        places = [place for _, place in self.budget_slider.options]
        self.budget_slider.value = min(places, key=lambda place: abs(place - wanted))

    def _tell(self, change: Any) -> None:
        if self._quiet:
            return
        if change.owner is self.budget_text and len(self.budget_slider.options) > 1:
            self._quiet = True
            try:
                self._follow_text()
            finally:
                self._quiet = False
        self._changed()


def size_text(count: int) -> str:
    """`count` bytes as `--budget` reads them, exactly: "24GiB", "15000MiB", "1234"."""
    unit = next((name for name in ("GiB", "MiB", "KiB") if count and count % size(f"1{name}") == 0), "")
    return f"{count // size(f'1{unit}') if unit else count}{unit}"


def _bytes(text: str) -> int:
    try:
        return size(text.strip().replace(" ", ""))
    except argparse.ArgumentTypeError as error:
        raise InputError(f"budget: {error}") from None


def _ceil(count: int, unit: int) -> int:
    return -(-count // unit) * unit
