"""Progress below a cell goes on while a stage says nothing, in the cell that it belongs to."""

import time

import pytest

from roam_lab.lab import progress as progress_module
from roam_lab.lab.progress import NotebookProgress
from tests.kernel import open_kernel


class Handle:
    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, bar: object) -> None:
        self.shown.append(repr(bar))


def test_seconds_go_on_while_a_stage_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Handle()
    monkeypatch.setattr(progress_module, "display", lambda bar, **_: (handle.shown.append(repr(bar)), handle)[1])
    monkeypatch.setattr(progress_module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(progress_module, "REDRAW_SECONDS", 0.0)
    with NotebookProgress(delay_seconds=0.05) as progress:
        progress("order: slow", 0.5)
        time.sleep(0.3)
    assert handle.shown.count("order: slow (0 s)") > 2
    assert handle.shown[-1] == ""
    over = len(handle.shown)
    time.sleep(0.1)
    assert len(handle.shown) == over  # the clock has stopped


def test_in_a_real_kernel_it_moves_below_its_cell() -> None:
    with open_kernel() as kernel:
        cell = kernel.run(
            "import time\nfrom roam_lab.lab.progress import NotebookProgress\n"
            "with NotebookProgress(delay_seconds=0) as told:\n    told('order: slow', 0.5)\n    time.sleep(2.3)\n"
        )
    assert [text for text in cell.shown if text] == [f"order: slow ({second} s)" for second in range(3)]
