"""docs/integrations.md, from the rows of the result file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.integrations.results import COMPARED, LIBRARIES, PARTS, Key, Row, faults
from benchmarks.machine import mib, write

PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrations.md"
TITLES = {"plain": "PyTorch", "accelerate": "Accelerate", "trainer": "Trainer", "lightning": "Lightning"}
MODELS = {"tiny": "A tiny GPT-2 (32 wide, 2 layers; 4 rows of 16 tokens)", "124m": "GPT-2 124M (1 row of 64 tokens)"}
HEAD = """\
# Training scripts, eager and hooked

GPT-2 as transformers configures it, dropout included, trained on the text of Python's own help (its bytes are the
tokens) by a script of each library: clipping, a schedule, evaluations on the way, a checkpoint in the middle of the
training and of an epoch, and a second process that goes on from it. Each script runs as it is, and with the lines that
the README shows, in processes of their own; their losses, evaluation losses, gradient norms (where the library returns
them), weights, optimizer state and random state are compared bit for bit.

*Written by `make bench-integrations`.*"""


def page(rows: Mapping[Key, Row]) -> str:
    """The whole page."""
    parts = [HEAD]
    for size in MODELS:
        own = [row for (of, _, _), row in rows.items() if of == size]
        if own:
            parts += _size(size, own)
    return "\n\n".join(parts)


def _size(size: str, rows: list[Row]) -> list[str]:
    told = faults(rows)
    steps = ", ".join(sorted({str(row["steps"]) for row in rows}))
    verdict = "What differs:\n\n" + "\n".join(f"- {one}" for one in told) if told else (
        f"Hooked and eager are identical in {', '.join(COMPARED)}: in the whole training, and in the half that goes on "
        "from the checkpoint."
    )  # fmt: skip
    found = [f"## {MODELS[size]}: {steps} steps", verdict]
    head = ["script", "steps planned / eager", "losses compared", "peak of the process, MiB", "median step, ms",
            "first step, s after the model is built"]  # fmt: skip
    lines = []
    for library in LIBRARIES:
        pair = {row["mode"]: row for row in rows if row["library"] == library and "error" not in row}
        if {*pair} != {"eager", "hooked"}:
            continue
        for part in PARTS:
            eager, hooked = pair["eager"][part], pair["hooked"][part]
            name = TITLES[library] if part == "whole" else "resumed"
            losses = f"{len(hooked['losses'])} + {len(hooked['evaluations'])}"
            lines.append([
                name, f"{hooked['planned_steps']} / {hooked['eager_steps']}", losses,
                f"{mib(eager['peak_bytes'])} → {mib(hooked['peak_bytes'])}",
                f"{1e3 * eager['median_step_seconds']:.1f} → {1e3 * hooked['median_step_seconds']:.1f}",
                f"{eager['first_step_seconds']:.1f} → {hooked['first_step_seconds']:.1f}",
            ])  # fmt: skip
    found.append(_table(head, lines))
    found.append(
        "Figures are of eager → hooked. A resumed half finds plan and capture of the first on disk. The peak of a "
        "hooked process has the planner's libraries and the first, compared step in it, which is most of it for a "
        "tiny model. Times are of one run each, of 124M on a machine that did other work: they tell no speed."
    )
    reasons = {(TITLES[row["library"]], reason, count) for row in rows if row["mode"] == "hooked" and "error" not in row
               for part in PARTS for reason, count in row[part]["reasons"].items()}  # fmt: skip
    if reasons:
        said = "\n".join(f"- {name}, {count}: {reason}" for name, reason, count in sorted(reasons))
        found.append(f"Steps that ran eagerly, with their number in each process:\n\n{said}")
    return found


def _table(head: list[str], rows: Iterable[list[Any]]) -> str:
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, marks, *rows])


def write_page(rows: Mapping[Key, Row], path: Path = PAGE) -> None:
    """Write the page."""
    write(str(path), page(rows) + "\n")
