"""What is shown in place of a panel without live widgets: in a saved notebook, on a page, on a code host."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from roam_lab.lab.later import Later
from roam_lab.lab.shown import Shown, plan_shown
from roam_lab.report.whatif_html import tables_html

if TYPE_CHECKING:
    from roam_lab.plan import Profile
    from roam_lab.report.whatifs import WhatIf, WhatIfs

MISSING = ".jp-OutputArea-child:has(+ .jp-OutputArea-child .roam-still) > .jupyter-widgets:not(:has(*))"
"""CSS selector of what JupyterLab writes above the still picture: that the panel's widget model is not found."""

PAUSE_SECONDS = 2.4


class Still:
    """One output with a picture and text of what a panel shows; hidden wherever the panel itself is live.

    It is updated by its display id, which a page knows until it is reloaded.
    """

    def __init__(self) -> None:
        self._mark = f"roam-still-{secrets.token_hex(4)}"
        self._handle: Any = None
        self._later = Later(PAUSE_SECONDS)

    @property
    def hiding(self) -> str:
        """HTML for a widget of the panel: as long as that is on the page, this output is hidden."""
        return f"<style>.{self._mark} {{ display: none }}</style>"

    @property
    def waits(self) -> bool:
        """Whether it is still to be changed."""
        return self._later.waits

    @property
    def shown(self) -> bool:
        """Whether there is an output to change."""
        return self._handle is not None

    def soon(self, show: Callable[[], None]) -> None:
        """Call `show` when nothing else has been shown for a moment: what is clicked through quickly is not drawn."""
        self._later.call(show)

    def show(self, report: Shown) -> None:
        """Replace the output by `report`."""
        still = _Marked(report, self._mark)
        if self._handle is None:
            self._handle = display(still, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(still)


class _Marked:
    """A report inside the element that the panel hides."""

    def __init__(self, report: Shown, mark: str) -> None:
        self._report, self._mark = report, mark

    def __repr__(self) -> str:
        return repr(self._report)

    def _repr_html_(self) -> str:
        note = "<p><small>A still picture of the panel: run the cell to have the panel itself.</small></p>"
        style = f"<style>{MISSING} {{ display: none }}</style>"
        return f'<div class="roam-still {self._mark}">{style}{self._report._repr_html_()}{note}</div>'


class _Report(Shown):
    """A plan and the table of what-ifs that it is one of."""

    def __init__(self, plan: Shown, rows: WhatIfs) -> None:
        super().__init__(f"{plan.text}\n\n{rows.text()}", plan.picture)
        self._html = plan._repr_html_() + tables_html(rows)

    def _repr_html_(self) -> str:
        return self._html


def panel_report(row: WhatIf, rows: WhatIfs, profile: Profile | None) -> Shown:
    """What a panel shows whose chosen what-if is `row`, as picture, text and table. Raises InputError if the plan of
    `row` is not in memory, or bare."""
    return _Report(plan_shown(rows.proven(row), profile, f"{row.name} ({row.in_words()})"), rows)


def cell_number() -> int | None:
    """The execution count of the running cell; None outside IPython."""
    shell = get_ipython()
    return None if shell is None else shell.execution_count
