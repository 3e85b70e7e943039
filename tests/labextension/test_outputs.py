"""Outputs of cells in a saved notebook that is not trusted and has no kernel, as a colleague opens it in JupyterLab."""

from __future__ import annotations

import json

import pytest

from roam_lab.lab.shown import Shown, plan_shown
from roam_lab.lab.still import _Marked, panel_report
from roam_lab.magic import _remark
from roam_lab.plan import Plan
from roam_lab.report.pictures.canvas import LEAST_WIDTH
from roam_lab.report.whatifs import WhatIfs
from tests.browser import LabPage
from tests.contrast import assert_read
from tests.twins import sampled

VIEW = {"application/vnd.jupyter.widget-view+json": {"model_id": "gone", "version_major": 2, "version_minor": 0}}


def notebook(plan: Plan) -> str:
    """What a kernel has left: a verdict, and a panel with its still picture."""
    rows = WhatIfs()
    rows.add(plan, "a plan")
    still = _Marked(panel_report(rows["a plan"], rows, None), "roam-still-1")
    datas = [
        {"text/html": plan_shown(plan)._repr_html_(), "text/plain": "a verdict"},
        {**VIEW, "text/plain": "roam lab: the panel over 'step'"},
        {"text/html": still._repr_html_(), "text/plain": "a still"},
        {"text/html": Shown("A sentence, longer than any page is wide. " * 9)._repr_html_(), "text/plain": "words"},
    ]
    outputs = [{"output_type": "display_data", "metadata": {}, "data": data} for data in datas]
    cell = {"cell_type": "code", "id": "one", "execution_count": 1, "metadata": {}, "source": "p", "outputs": outputs}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.parametrize("dark", sampled([False, True], 1), ids=["light", "dark"])
def test_pictures_are_seen_and_follow_the_theme(page: LabPage, plan: Plan, dark: bool) -> None:
    (page.lab.root / "colleague.ipynb").write_text(notebook(plan))
    page.open("colleague.ipynb")
    page.theme(dark)
    shown = page.locator(".jp-Notebook img.roam-image:visible")
    shown.nth(1).wait_for()
    for picture in shown.all():
        assert picture.evaluate("one => one.complete && one.naturalWidth") > 0
        assert picture.evaluate("one => getComputedStyle(one).colorScheme") == ("dark" if dark else "light")
    message = page.locator(".jp-OutputArea-output").first.inner_text()
    assert message.startswith(plan.headline)  # no letters of the picture stand before it
    assert not page.page.get_by_text("model not found").count()
    page.theme(False)


def test_on_a_narrow_page_letters_stay_large_and_words_whole(page: LabPage, plan: Plan) -> None:
    (page.lab.root / "narrow.ipynb").write_text(notebook(plan))
    size = page.page.viewport_size
    page.page.set_viewport_size({"width": 900, "height": 1000})
    page.open("narrow.ipynb")
    picture = page.locator(".jp-Notebook img.roam-image:visible").first
    picture.wait_for()
    around = page.locator(".jp-OutputArea-output").first.bounding_box()["width"]
    assert around < picture.bounding_box()["width"] == LEAST_WIDTH
    assert picture.evaluate("one => getComputedStyle(one.parentElement).overflowX") == "auto"  # so it can be scrolled
    words = page.page.get_by_text("A sentence, longer than").first
    assert words.evaluate("one => getComputedStyle(one).wordBreak") == "normal"
    page.page.set_viewport_size(size)


@pytest.mark.parametrize("dark", sampled([False, True], 1), ids=["light", "dark"])
def test_a_refusal_is_read(page: LabPage, capsys: pytest.CaptureFixture[str], dark: bool) -> None:
    _remark("there is no profile yet")
    told = {"output_type": "stream", "name": "stderr", "text": capsys.readouterr().err}
    cell = {"cell_type": "code", "id": "one", "execution_count": 1, "metadata": {}, "source": "p", "outputs": [told]}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # without one, a dialog covers the words
    book = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (page.lab.root / "refused.ipynb").write_text(json.dumps(book))
    page.open("refused.ipynb")
    page.theme(dark)
    page.page.get_by_text("roam: there is no profile yet").wait_for()
    assert_read(page.page, ".jp-OutputArea-output")
    page.theme(False)
