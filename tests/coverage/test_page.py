"""The committed results: the page is what the script makes of them, and they hold the promise."""

import json
from collections import Counter

import pytest

from tests.coverage.outcome import FAULTS
from tests.coverage.page import PAGE, RESULTS, page
from tests.coverage.registry import entries

ROW = {"name": "a", "family": "f", "source": "plain_steps", "word": "refused", "reason": "x.py:1: a | b"}
DATA = {
    "date": "2026-01-01T00:00:00Z",
    "commit": "abc",
    "machine": {"processor": "one"},
    "versions": {"torch": "2", "transformers": "5", "diffusers": "0"},
    "rows": [
        ROW,
        {**ROW, "name": "b", "word": "not trainable"},
        {**ROW, "name": "c", "word": "identical", "reason": ""},
    ],
}


def test_counts_leave_out_what_eager_cannot_train():
    text = page(DATA)
    assert "3 models, 2 of them train eagerly." in text
    assert "| plain torch | 1 |  | 1 |  |  | 1 | 50 % |" in text
    assert "| f | a |  |  | refused | x.py:1: a \\| b |" in text


@pytest.fixture
def results():
    if not RESULTS.exists():
        pytest.skip("no results are committed: make coverage-of-models")
    return json.loads(RESULTS.read_text())


def test_page_is_made_of_the_results(results):
    assert PAGE.read_text() == page(results)


def test_results_are_of_every_model_and_hold_the_promise(results):
    counts = Counter(row["word"] for row in results["rows"])
    assert [row["name"] for row in results["rows"]] == list(entries())
    assert [row["name"] for row in results["rows"] if row["word"] in FAULTS] == []
    assert counts["identical"] >= 0.9 * (len(results["rows"]) - counts["not trainable"])
