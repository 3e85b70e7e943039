"""docs/coverage.md from benchmarks/results/coverage.json: `python -m tests.coverage.page` writes it anew."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.coverage.registry import SOURCES

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "coverage.json"
PAGE = ROOT / "docs" / "coverage.md"
WORDS = ("identical", "eager", "refused", "different", "traceback", "not trainable")
SHOWN = ("seconds", "key")
"""Parts of a row that change with every run and stay out of the results."""


def write_results(rows: list[dict[str, Any]]) -> None:
    """Write the results file and the page."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from machine import described, write

    kept = [{key: value for key, value in row.items() if key not in SHOWN} for row in rows]
    write(str(RESULTS), json.dumps({**described(), "rows": kept}, indent=1))
    write_page()


def write_page() -> None:
    """The page, from the results file."""
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


def page(data: dict[str, Any]) -> str:
    """The whole page."""
    rows, versions = data["rows"], data["versions"]
    counts = Counter(row["word"] for row in rows)
    trained = len(rows) - counts["not trainable"]
    head = f"""# Which models roam-lab trains

<!-- written by tests/coverage/page.py from benchmarks/results/coverage.json -->

`make coverage-of-models` on {data["date"][:10]}, commit {data["commit"]}: {data["machine"]["processor"]}, torch
{versions["torch"]}, transformers {versions["transformers"]}, diffusers {versions["diffusers"]}.
Tiny configurations with random weights, nothing downloaded. Four steps are run eagerly and four by `roam.hook` from the
same seed, with two batches in turn; losses, parameters, buffers, attributes of modules, optimizer state and random
states are compared bit for bit.

- **identical**: equal bit for bit; every step but at most the first ran planned
- **eager**: equal, but more steps than the first ran eagerly
- **refused**: one sentence says why; the eager step leaves what it always leaves
- **different**, **traceback**: faults of roam-lab
- **not trainable**: the eager step itself fails or never repeats itself; not counted

{len(rows)} models, {trained} of them train eagerly.
"""
    table = ["| | " + " | ".join(WORDS) + " | identical, of those that train |", "|---" * (len(WORDS) + 2) + "|"]
    groups = {title: [row for row in rows if row["source"] in sources] for title, sources in SOURCES.items()}
    for title, group in {**groups, "all": rows}.items():
        table.append(_counts(title, group))
    parts = [head, "\n".join(table)]
    for title, group in groups.items():
        if group:
            parts.append(f"## {title[0].upper()}{title[1:]}\n\n" + _rows(group))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _counts(title: str, group: list[dict[str, Any]]) -> str:
    counts = Counter(row["word"] for row in group)
    trained = len(group) - counts["not trainable"]
    share = f"{100 * counts['identical'] / trained:.0f} %" if trained else ""
    return f"| {title} | " + " | ".join(str(counts[word] or "") for word in WORDS) + f" | {share} |"


def _rows(group: list[dict[str, Any]]) -> str:
    lines = ["| family | model | class | optimizer, step | outcome | reason |", "|---" * 6 + "|"]
    for row in group:
        optimizer = f"{row.get('optimizer', '')}, {row.get('step', '')}".strip(", ")
        reason = " ".join(row["reason"].replace("|", "\\|").replace("<", "&lt;").replace(str(ROOT), "").split())
        cells = (row["family"], row["name"], row.get("model", ""), optimizer, row["word"], reason)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    write_page()
