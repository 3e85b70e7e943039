"""The notebooks run as they were saved, are small, and can be read offline, with nothing of the machine in them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks need JupyterLab: pip install 'roam-lab[lab]'")
pytest.importorskip("nbval", reason="running notebooks as tests needs nbval: pip install nbval")
pytest.importorskip("nbconvert", reason="notebooks need JupyterLab: pip install 'roam-lab[lab]'")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STRICT = {"01_quickstart", "04_planners_explained"}
QUICK = {"04_planners_explained"}
"""Run in `make test`; the others train real models, in `make test-slow`."""
MOST_BYTES = 5_000_000
OUTSIDE = re.compile(
    r"""<(?:script|img|iframe|link|source|video|embed|object)\b[^>]*\b(?:src|href|data)\s*=\s*["']?\s*(?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?\s*(?:https?:)?//|\burl\(\s*["']?(?:https?:)?//|\bimport\(\s*["'](?:https?:)?//""",
    re.IGNORECASE,
)
"""Whatever a page would load from elsewhere; links to click and XML namespaces are none of it."""
HERE = re.compile(r"(?<![\w.:/<])/(?:home|root|tmp|work|usr|opt|var|Users|private)/\w|[A-Z]:\\\\Users")
"""A path of the machine that ran it."""

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
each_run = pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow) for path in NOTEBOOKS],
)


def outputs(path: Path) -> list[tuple[int, str]]:
    """All text of all outputs, each with its cell's number."""
    found = []
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        for output in cell.get("outputs", ()):
            texts = [output.text] if output.output_type == "stream" else output.get("data", {}).values()
            found += [(number, str(text)) for text in texts]
    return found


def test_all_five_are_there():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@each_run
def test_it_runs_as_saved(path):
    """nbval: strict notebooks print the same again; the others run without an error."""
    kind = ["--nbval", "--nbval-sanitize-with", str(ROOT / "notebooks" / "sanitize.cfg")]
    chosen = kind if path.stem in STRICT else ["--nbval-lax"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *chosen, str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@each
def test_it_is_saved_whole(path):
    """Every cell was run, in sequence, from a clean kernel, without an error or a warning."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text
    assert path.stat().st_size < MOST_BYTES


@each
def test_outputs_hold_nothing_of_the_machine_and_load_nothing(path):
    for number, text in outputs(path):
        assert "Traceback (most recent call last)" not in text, f"cell {number}"
        assert "\x1b[" not in text, f"cell {number}: terminal codes"
        assert "<IPython.core.display" not in text, f"cell {number}: an object, not words"
        assert not (found := HERE.search(text)), f"cell {number}: {text[found.start() - 60 : found.end() + 60]}"
        assert not (found := OUTSIDE.search(text)), f"cell {number}: {text[found.start() : found.end() + 60]}"


@each
def test_every_figure_has_words(path):
    for number, text in outputs(path):
        for tag in re.findall(r"<img\b[^>]*>", text):
            assert re.search(r'\balt="[^"]', tag), f"cell {number}: {tag[:200]}"
        for tag in re.findall(r"<svg\b[^>]*>", text):
            assert re.search(r'aria-label="[^"]|aria-labelledby="[^"]|aria-hidden="true"', tag), f"cell {number}: {tag}"


@each
def test_it_converts_to_a_page_that_needs_no_network(path):
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    page, _ = exporter.from_filename(str(path))
    assert not (found := OUTSIDE.search(page)), page[found.start() : found.end() + 80]
    assert "cdn" not in "".join(re.findall(r"<script\b[^>]*>", page))
    kinds = ("<svg", "data:image/svg+xml;base64,")
    pictures = sum(text.count(kind) for _, text in outputs(path) for kind in kinds)
    assert sum(map(page.count, (*kinds, "&lt;svg"))) >= pictures > 0


@pytest.mark.parametrize(
    "bad",
    [
        '<script src="https://cdn.example/a.js">', "<img src=//example/a.png>", "@import url(https://example/a.css)",
        "background:url('http://example/a')", "import('https://example/a.mjs')",
    ],
)  # fmt: skip
def test_the_search_for_loads_finds_them(bad):
    assert OUTSIDE.search(bad)
    assert not OUTSIDE.search('<a href="https://example.org"><svg xmlns="http://www.w3.org/2000/svg">')
    assert HERE.search("wrote /tmp/abc")
    assert HERE.search('File "/root/x.py"')
    assert not HERE.search("transformers/models/tmp/x.py")
