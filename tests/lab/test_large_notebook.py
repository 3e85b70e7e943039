"""A notebook with the panel over 10,000 ops: small enough, and read well where there is no kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import CHROMIUM, FLAGS, require_browser
from tests.contrast import assert_read, open_images

nbformat = pytest.importorskip("nbformat", reason="notebooks need JupyterLab: pip install 'roam-lab[lab]'")
nbclient = pytest.importorskip("nbclient", reason="notebooks need JupyterLab: pip install 'roam-lab[lab]'")

MOST_BYTES = 5_000_000
CELLS = (
    "%load_ext roam_lab",
    "from roam_lab.plan import Profile\n"
    "from tests.report.views.graphs import blocks\n"
    "large = Profile(graph=blocks(1111, name='large'))\n"
    "len(large.graph.ops)",
    "plan = %roam plan large --rewrites none",
    "panel = %roam lab",
    "import asyncio\nawait asyncio.sleep(2)  # the still picture follows",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run, and saved as a front end saves it that keeps the widgets' state."""
    require_browser()
    cells = [nbformat.v4.new_code_cell(text) for text in CELLS]
    made = nbformat.v4.new_notebook(cells=cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        nbclient.NotebookClient(made, timeout=150, kernel_name="python3").execute()
    path = tmp_path_factory.mktemp("large") / "large.ipynb"
    nbformat.write(made, path)
    return path


def test_it_is_small(book: Path) -> None:
    made = nbformat.read(book, as_version=4)
    (message,) = (output["data"]["text/plain"] for output in made.cells[1].outputs)
    assert int(message) > 9_990
    assert "widgets" in made.metadata
    assert book.stat().st_size < MOST_BYTES


def test_it_is_read_without_a_kernel(book: Path, tmp_path: Path) -> None:
    from nbconvert import HTMLExporter
    from playwright.sync_api import sync_playwright

    made = nbformat.read(book, as_version=4)
    del made.metadata["widgets"]  # JupyterLab keeps none unless told to; nbconvert's page of them loads a library
    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    page = tmp_path / "page.html"
    page.write_text(exporter.from_notebook_node(made)[0], "utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        tab = browser.new_page(viewport={"width": 1400, "height": 1000})
        asked: list[str] = []
        tab.on("request", lambda sent: asked.append(sent.url) if sent.url.startswith("http") else None)
        tab.goto(f"file://{page}")
        still = tab.locator(".roam-still")
        assert still.is_visible()
        assert "whole step" in still.inner_text() or "predicted" in still.inner_text()
        assert still.locator("img").first.is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
        for summary in still.locator("summary").all():
            summary.click()
        open_images(tab)
        assert_read(tab, ".roam-still", 6000)
        assert asked == []
        browser.close()
