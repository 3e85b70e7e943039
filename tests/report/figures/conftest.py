"""A browser for the tests of a module, and pages in it that watch what they ask for and complain of."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager

import pytest

from tests.report.figures.in_page import READY

CHROMIUM = os.environ.get("ROAM_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; name one in ROAM_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@contextmanager
def opening(browser, folder):
    """A function that opens a document; at the end it fails if one asked for anything or raised an error."""
    complaints: list[str] = []
    opened = []

    def show(document: str):
        path = folder / "page.html"
        path.write_text(document, "utf-8")
        tab = browser.new_page(viewport={"width": 1000, "height": 900})
        opened.append(tab)
        tab.on("pageerror", lambda error: complaints.append(f"{error}\n{error.stack}"))
        tab.on("console", lambda expected: complaints.append(expected.text) if expected.type == "error" else None)
        tab.on("request", lambda sent: complaints.append(sent.url) if sent.url.startswith("http") else None)
        tab.goto(f"file://{path}")
        tab.wait_for_function(READY)
        return tab

    yield show
    for tab in opened:
        tab.wait_for_timeout(200)
        tab.close()
    assert complaints == []


@pytest.fixture
def shown(browser, tmp_path):
    with opening(browser, tmp_path) as show:
        yield show
