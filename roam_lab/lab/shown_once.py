"""What an action of `%roam` returns is displayed well, and only once, though it is the value of the cell, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.display import display

from roam_lab.lab.shown import Shown, compare_shown, frontier_shown, plan_shown, profile_shown
from roam_lab.plan import Plan, Profile
from roam_lab.plan.fit import Fit
from roam_lab.plan.frontier import Frontier
from roam_lab.plan.largest import Within
from roam_lab.report.explanation import Explanation
from roam_lab.report.fit import fit_text, within_text
from roam_lab.report.safe_text import printable
from roam_lab.report.whatifs import WhatIfs

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Written(str):
    """The path of a file that an action wrote; a str like any other, but not shown twice."""


SHOWN: dict[type, Callable[[Any], Any]] = {
    Plan: lambda plan: Shown(printable(repr(plan))) if plan.graph is None else plan_shown(plan),
    Profile: profile_shown,
    Frontier: frontier_shown,
    WhatIfs: compare_shown,
    Explanation: lambda explanation: Shown(explanation.text()),
    Fit: lambda fit: Shown(fit_text(fit)),
    Within: lambda within: Shown(within_text(within)),
}
"""Displays the value of a cell's last line."""
OTHERS = {
    "roam_lab.lab.shown.PlanView",
    "roam_lab.lab.panel.Lab",
    "roam_lab.lab.shown_once.Written",
    "roam_lab.runtime.verification.Verification",
    "roam_lab.runtime.measured_run.RunFigures",
    "roam_lab.sweeps.table.SweepTable",
}
"""Types whose values IPython displays itself, but only once; by name, as importing some imports torch or widgets."""


class ShownOnce:
    """Remembers what the last action returned until the next cell begins, as IPython would display it again."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._last: Any = None
        formatter = shell.display_formatter.ipython_display_formatter  # type: ignore[union-attr]
        for kind in SHOWN:
            formatter.for_type(kind, self._show)
        for name in OTHERS:
            formatter.for_type_by_name(*name.rsplit(".", 1), self._show)
        shell.events.register("pre_run_cell", self._forget)
        self._hook = shell.display_trap.hook
        shell.display_trap.hook = self._displayed

    def note(self, value: Any) -> Any:
        """Note that `value` has been shown, and return it."""
        self._last = value
        return value

    def close(self) -> None:
        """Display values as IPython does, from now on."""
        self._shell.events.unregister("pre_run_cell", self._forget)
        self._shell.display_trap.hook = self._hook
        formatter = self._shell.display_formatter.ipython_display_formatter  # type: ignore[union-attr]
        for kind in SHOWN:
            formatter.pop(kind, None)
        for name in OTHERS:
            formatter.pop(name, None)

    def _displayed(self, value: Any) -> None:
        """A cell's value, from IPython. What has been shown is only remembered, as `_` and in `Out`: a terminal would
        print its prompt, "Out[3]:", with nothing behind it."""
        if value is None or value is not self._last:
            self._hook(value)
        elif not self._hook.quiet():
            self._hook.update_user_ns(value)
            self._hook.fill_exec_result(value)

    def _forget(self, *_: Any) -> None:
        self._last = None

    def _show(self, value: Any) -> None:
        """Called by IPython. NotImplementedError: it is shown in IPython's own ways."""
        if value is self._last:
            return
        show = SHOWN.get(type(value))
        if show is None:
            raise NotImplementedError
        display(show(value))  # type: ignore[no-untyped-call]
