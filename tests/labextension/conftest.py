"""One JupyterLab for a test process, with plans in its root folder; one page for a test file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from roam_lab.lab.shown import PLAN_MIME, PlanView
from roam_lab.plan import Plan
from tests.browser import Lab, LabPage, open_page, require_browser, running_lab
from tests.labextension.plans import many_storages_plan, step_plan


@pytest.fixture(scope="session")
def plan() -> Plan:
    return step_plan(6)


@pytest.fixture(scope="session")
def lab(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_browser()
    root = tmp_path_factory.mktemp("workspace")
    (root / "runs").mkdir()
    plan.save(root / "auto.roam.json")
    plan.save(root / "bare.roam.json", bare=True)
    step_plan(6, order="captured").save(root / "runs" / "captured.roam.json")
    many_storages_plan(10_000).save(root / "many.roam.json")
    output = {"output_type": "display_data", "metadata": {}, "data": {}}
    datas = (PlanView(plan)._repr_mimebundle_(), {PLAN_MIME: {"format": "<b>none</b>"}, "text/plain": "a plan"})
    outputs = [{**output, "data": data} for data in datas]
    cell = {"cell_type": "code", "id": "one", "execution_count": 1, "metadata": {}, "source": "p", "outputs": outputs}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (root / "output.ipynb").write_text(json.dumps(notebook))
    with running_lab(root) as running:
        yield running


@pytest.fixture(scope="module")
def module_page(lab: Lab) -> Iterator[LabPage]:
    with open_page(lab, height=1300) as page:
        yield page


STARTING = ("Disposed", "Cannot read properties of null (reading 'kernel')")
"""What JupyterLab itself says when a notebook is closed while its kernel still starts; nothing of ours has a kernel."""


@pytest.fixture
def page(module_page: LabPage) -> Iterator[LabPage]:
    """The file's page with no tab open; every test ends by showing that nothing failed in it or left the machine."""
    while module_page.locator(".jp-Dialog").count():  # a test that failed may have left one
        module_page.locator(".jp-Dialog button").first.click()
    module_page.close_all()
    module_page.errors.clear()
    yield module_page
    module_page.assert_no_outside_requests()
    assert [error for error in module_page.errors if error not in STARTING] == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: ROAM_SCREENSHOTS, or a folder that pytest forgets."""
    return Path(os.environ.get("ROAM_SCREENSHOTS", tmp_path))
