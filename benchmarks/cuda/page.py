"""docs/cuda.md from the result files: `python -m benchmarks.cuda.page`; `make bench-cuda` writes it, too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cuda.device import FAKE
from benchmarks.cuda.results import Line, latest, read
from benchmarks.machine import mib, write

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "cuda.md"

HEAD = """# CUDA

<!-- written by `python -m benchmarks.cuda.page` from benchmarks/results/cuda*.jsonl: run it again, do not edit -->

`make bench-cuda` on a machine with a GPU asks, stage by stage, what has to be known of the device: bits of single
operators and of whole training steps, peaks, times, the largest batch, budgets of time and copies to the host, training
scripts of other libraries, and other ways to train in less memory. It goes on where it was interrupted;
`make rehearse-cuda` runs all of its code on tiny models and the fake device of
tests/fake_cuda.

Sizes are MiB, times milliseconds a step. *Requested* is what tensors asked for, *allocated* what their blocks took,
*reserved* what the allocator took from the device, *driver* what the device has given away, context and libraries
included; *workspaces* are cuBLAS's, in all of these."""
NO_FIGURE = """**No CUDA figure exists yet: what stands below was run on the fake device, whose kernels compute
nothing.** It shows that every stage runs, and what is asked of the allocator, for tiny models; its times are the
host's alone."""
SIZES = ("requested", "allocated", "reserved", "driver", "workspaces")
STATUSES = ("done", "differs", "not possible", "failed", "crashed", "timeout")


def page(lines: Iterable[Line]) -> str:
    """The whole page; real devices first."""
    by_device: dict[str, list[Line]] = {}
    for line in lines:
        by_device.setdefault(line.get("device", "unknown"), []).append(line)
    real = [name for name in by_device if name != FAKE]
    parts = [HEAD] + ([] if real else [NO_FIGURE if by_device else "**No CUDA figure exists yet: nothing was run.**"])
    for name in [*sorted(real), *([FAKE] if FAKE in by_device else [])]:
        parts += _device(name, by_device[name])
    return "\n\n".join(parts)


def _device(name: str, lines: list[Line]) -> list[str]:
    last = latest(lines)
    cells = [line for (_, _, part), line in last.items() if part is None]
    parts = {key: line for key, line in last.items() if key[2] is not None}
    versions = parts.get(("machine", "versions and memory", "versions"), {})
    packages = versions.get("versions", {})
    told = ", ".join(f"{key} {packages[key]}" for key in ("python", "torch", "transformers") if key in packages)
    when = max((line.get("date", "")[:10] for line in cells), default="")
    commits = ", ".join(sorted({line["commit"] for line in cells if line.get("commit")}))
    spent = sum(line.get("seconds", 0) for line in cells) / 60
    found = [f"## {name[0].upper()}{name[1:]}", f"{told}; {when}, commit {commits}; {spent:.1f} minutes."]
    found.append(_stages(cells))
    for title, table in (
        ("Memory before the first step", _memory(parts)),
        ("Bits", _bits(parts)),
        ("Four steps", _steps(parts)),
        ("Times", _times(parts)),
        ("The largest batch", _largest(parts)),
        ("Budgets", _budgets(parts)),
        ("Training scripts of other libraries", _integrations(parts)),
        ("Methods", _methods(parts)),
        ("What could not be run, what went wrong, and notes", _reasons(cells, parts)),
    ):
        if table:
            found += [f"### {title}", table]
    return found


Parts = dict[tuple[str, str, str | None], Line]


def _of(parts: Parts, stage: str, *statuses: str) -> list[Line]:
    return [line for (at, _, _), line in parts.items() if at == stage and line["status"] in (statuses or ("done",))]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], right: int = 1) -> str:
    """A markdown table; the columns from `right` on are numbers. Nothing where there are no rows."""
    filled = [f"| {' | '.join('' if cell is None else str(cell) for cell in row)} |" for row in rows]
    marks = ["---" if at < right else "---:" for at in range(len(head))]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'|'.join(marks)}|", *filled]) if filled else ""


def _stages(cells: list[Line]) -> str:
    names = list(dict.fromkeys(line["stage"] for line in cells))
    rows = []
    for name in names:
        own = [line for line in cells if line["stage"] == name]
        counts = [sum(line["status"] == status for line in own) or None for status in STATUSES]
        rows.append([name, *counts, f"{sum(line.get('seconds', 0) for line in own):.0f}"])
    return _table(["stage (cells)", *STATUSES, "seconds"], rows)


def _memory(parts: Parts) -> str:
    lines = _of(parts, "machine")
    keys = {"before_context": "before", "after_context": "with a context", "after_matmul": "after a matmul",
            "after_convolution": "after a convolution", "after_sdpa": "after attention"}  # fmt: skip
    rows = [
        [mib(line.get(f"{key}_bytes")) or "not known" for key in keys] for line in lines if line["part"] == "memory"
    ]
    return _table([f"{title}, MiB" for title in keys.values()], rows, 0)


def _bits(parts: Parts) -> str:
    rows = []
    for line in [*_of(parts, "bits", "done", "differs"), *_of(parts, "identity", "done", "differs")]:
        at = line.get("identical_at")
        equal = ", ".join(f"{size}: {_yes(same)}" for size, same in at.items()) if at else _yes(line.get("identical"))
        rows.append([f"{line['stage']}, {line['part']}", _yes(line.get("repeatable")), equal])
    return _table(["what", "eager is equal to itself", "equal in the arena (at alignment), or planned"], rows, 9)


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "NO", None: "not compared"}[value]


def _steps(parts: Parts) -> str:
    plans = {line["cell"]: line for line in _of(parts, "plan")}
    rows = []
    for line in _of(parts, "step", "done", "differs"):
        if line["part"] == "first difference":
            continue
        plan = plans.get(line["cell"].removesuffix(f" {line['part']}"), {})
        simulated = plan.get("simulated_eager_bytes" if line["part"] != "planned" else "")
        bits = _yes(line.get("identical")) if line["part"] == "planned" else ""
        sizes = [mib(line[f"{key}_bytes"]) for key in SIZES]
        rows.append([line["cell"], bits, *sizes, mib(simulated), mib(plan.get("arena_bytes")) if bits else ""])
    head = ["run", "identical", *SIZES, "reserved, simulated", "arena"]
    return _table(head, rows, 2)


def _times(parts: Parts) -> str:
    lines = {key[1]: line for key, line in parts.items() if key[0] == "times" and key[2] == "launches"}
    rows = [
        [line["cell"], line["events_ms"], line["wall_ms"], line["host_ms"], lines.get(line["cell"], {}).get("launches")]
        for line in [*_of(parts, "times"), *_of(parts, "cuda_graph")]
        if "events_ms" in line
    ]
    return _table(["run", "ms a step by events", "by the wall", "of the host", "launches"], rows)


def _largest(parts: Parts) -> str:
    rows = []
    for line in _of(parts, "largest"):
        if line["part"] == "fit":
            both = f"{line['largest_batch_eager']} eager, {line['largest_batch_planned']} planned"
            rows.append([line["cell"], mib(line["memory_bytes"]), both])
        elif line["part"] == "largest":
            more = "" if line["whole_search"] else " or more"
            rows.append([line["cell"], mib(line["memory_bytes"]), f"{line['largest_batch']}{more}"])
    return _table(["run", "memory MiB", "largest batch"], rows)


def _budgets(parts: Parts) -> str:
    rows = []
    for line in _of(parts, "budget", "done", "differs"):
        kinds = ", ".join(f"{count} {kind}" for kind, count in line["rewrites"].items())
        sizes = [mib(line["arena_bytes"]), mib(line["allocated_bytes"]), line["events_ms"], line["wall_ms"]]
        rows.append([line["cell"], kinds or "none", _yes(line["identical"]), *sizes])
    head = [
        "model, batch, optimizer, type, budget",
        "rewrites",
        "identical",
        "arena",
        "allocated",
        "ms by events",
        "by the wall",
    ]
    return _table(head, rows, 3)


def _integrations(parts: Parts) -> str:
    rows = []
    for line in _of(parts, "integration", "done", "differs"):
        bits = _yes(line["identical"]) if "identical" in line else ""
        rows.append([f"{line['cell']} {line['part']}", bits, line["planned_steps"], line["eager_steps"],
                     mib(line["allocated_bytes"]), round(1e3 * line["median_step_seconds"], 2)])  # fmt: skip
    return _table(["script", "identical", "steps planned", "eager", "allocated", "ms by the wall"], rows, 2)


def _methods(parts: Parts) -> str:
    rows = []
    for line in _of(parts, "compare"):
        sizes = [mib(line[f"{key}_bytes"]) for key in SIZES]
        rows.append([line["cell"], line["events_ms"], line["wall_ms"], *sizes])
    return _table(["model, batch, optimizer, type, method", "ms by events", "by the wall", *SIZES], rows)


def _reasons(cells: list[Line], parts: Parts) -> str:
    told: dict[str, list[str]] = {}
    for line in [*cells, *parts.values()]:
        for note in line.get("notes", []):
            told.setdefault(_plain(note), []).append(f"{line['stage']} {line['cell']}")
        if "reason" in line and not (line.get("part") is None and _has_parts(line, parts)):
            told.setdefault(_plain(line["reason"]), []).append(f"{line['stage']} {line['cell']}")
    return "\n".join(f"- {', '.join(dict.fromkeys(names))}: {reason}" for reason, names in told.items())


def _has_parts(line: Line, parts: Parts) -> bool:
    return any("reason" in one and key[:2] == (line["stage"], line["cell"]) for key, one in parts.items())


def _plain(text: str) -> str:
    escaped: Callable[[str], str] = lambda sign: f"\\{sign}" if sign in "\\`*_<>[]|" else sign  # noqa: E731
    return "".join(map(escaped, " ".join(text.split())))


def write_page(path: Path = PAGE, files: Iterable[Path] | None = None) -> None:
    """Write the page from the result files."""
    found = sorted(RESULTS.glob("cuda*.jsonl")) if files is None else files
    write(str(path), page(line for file in found for line in read(file)))


if __name__ == "__main__":
    write_page()
    sys.exit(0)
