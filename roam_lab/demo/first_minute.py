"""One training step captured, planned and drawn, then run eagerly and by the plan; each figure is told as it comes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from roam_lab.app.terminal import say
from roam_lab.errors import OutputError
from roam_lab.progress import Progress
from roam_lab.report.safe_text import printable
from roam_lab.report.units import bytes_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.runtime.verification import Verification

FACTORY = f"{Path(__file__).with_name('gpt2.py')}:factory"
NAME = "GPT-2 124M"
FILES = "gpt2_demo"
INTRODUCTION = """\
GPT-2 124M in plain PyTorch, random weights, dropout on, AdamW, one sequence of 128 tokens, on this machine's CPU.
One whole training step (forward, loss, backward, optimizer) is captured and planned: up to a minute ..."""
STEPS, PAIRS = 3, 3
LABEL_WIDTH, FIGURE_WIDTH = 28, 12


def demonstrate(
    folder: str, progress: Progress, *, factory: str = FACTORY, name: str = NAME, introduction: str = INTRODUCTION
) -> bool:
    """Show the training step that `factory` ("FILE.py:FACTORY") makes; returns whether both runs had the same bits.

    `folder` is made where it is missing, and holds the graph, the plan and the picture. Raises OutputError before
    anything is run when it cannot be written to, and what `profile` and `verify_file` raise.
    """
    began = time.perf_counter()
    stem = _made(folder) / FILES
    # Threads that do not spin while they wait: on a busy machine steps are five times as fast. Read as torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    say(introduction)
    profile, plan = _planned(factory, name, stem, progress)
    say(printable(f"\n{_verdict(plan, profile)}\n{_rows(_planned_figures(profile, plan))}"))
    say(printable(f"\npicture after {_since(began)}: {stem}.svg (memory over the step; a browser opens it)"))
    say(f"Now {STEPS} steps eagerly and {STEPS} by the plan, each in a process of its own: a minute or two ...\n")
    result = _verified(factory, stem, progress)
    say(_rows(_measured_figures(result)))
    say(printable("\n".join(["", *_notes(result), *_next_steps(folder, stem), f"{_since(began)} in all"])))
    return result.identical


def _made(folder: str) -> Path:
    """The folder, there and writable."""
    path = Path(folder)
    try:
        if path.exists() and not path.is_dir():
            raise OutputError(f"{folder}: is a file, not a folder; choose another place with -o")
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{folder}: cannot be written to ({reason}); choose another place with -o") from None


def _planned(factory: str, name: str, stem: Path, progress: Progress) -> tuple[Profile, Plan]:
    """Capture, plan, and write all three files."""
    progress("loading torch", 0.0)
    from roam_lab.app.session import made_by, profile
    from roam_lab.ir import write_text
    from roam_lab.report.pictures import plan_picture

    captured = profile(**made_by(factory), name=name, progress=progress)
    plan = captured.plan(progress=progress)
    write_text(f"{stem}.svg", plan_picture(plan, captured))
    captured.save(f"{stem}.json.gz")
    plan.save(f"{stem}.roam.json")
    return captured, plan


def _verified(factory: str, stem: Path, progress: Progress) -> Verification:
    from roam_lab.runtime.verify import verify_file

    return verify_file(factory, f"{stem}.roam.json", steps=STEPS, pairs=PAIRS, progress=progress)


def _verdict(plan: Plan, profile: Profile) -> str:
    from roam_lab.report.headline import verdict_sentence  # planning is loaded by now

    return verdict_sentence(plan, profile)


def _planned_figures(profile: Profile, plan: Plan) -> list[tuple[str, str]]:
    from roam_lab.report.headline import eager_bytes

    whole = [bytes_text(profile.resident_bytes + size) for size in (eager_bytes(plan, profile), plan.arena_bytes)]
    return [
        ("whole step, eager", whole[0]),
        ("whole step, planned", whole[1]),
        ("resident", bytes_text(profile.resident_bytes)),
        ("eager peak", bytes_text(profile.captured_peak_bytes)),
        ("planned peak", bytes_text(plan.peak_bytes)),
        ("lower bound of any order", bytes_text(plan.lower_bound_bytes)),
        ("proven optimal", "yes" if plan.optimal else f"no, at most {plan.gap:.1%} above"),
        ("arena", bytes_text(plan.arena_bytes)),
    ]


def _measured_figures(result: Verification) -> list[tuple[str, str]]:
    return [
        ("measured peak, eager", bytes_text(result.eager.peak_above_base_bytes)),
        ("measured peak, planned", bytes_text(result.planned.peak_above_base_bytes)),
        ("step time, planned / eager", f"{result.time_ratio:.2f}"),
        ("bit-identical", "yes" if result.identical else "NO"),
    ]


def _rows(figures: Iterable[tuple[str, str]]) -> str:
    """Of one width, as the table comes in two halves."""
    return "\n".join(f"  {label:<{LABEL_WIDTH}}{figure:>{FIGURE_WIDTH}}" for label, figure in figures)


def _notes(result: Verification) -> list[str]:
    """How to read the figures, and what did not go as it should."""
    return [
        *result.differences,
        *(f"{count} of {result.steps} planned steps ran eagerly: {reason}" for reason, count in result.reasons.items()),
        "Resident: parameters, optimizer state and batch, always there; with the arena: the whole step.",
        "Eager's measured peak also holds what malloc has freed but not given back.",
        f"Bit-identical: loss, parameters, buffers and optimizer state after {result.steps} steps.",
        f"Step time: the median of {PAIRS} pairs of steps, run in turn.",
        "",
    ]


def _next_steps(folder: str, stem: Path) -> list[str]:
    return [
        f"{folder} holds the graph (.json.gz), the plan (.roam.json) and the picture (.svg). Next:",
        "  your own training step, in three lines:",
        "      import roam_lab as roam",
        "      step = roam.hook(model, optimizer, loss=criterion)  # captures and plans at its first call",
        "      loss = step((inputs, targets))                      # forward, backward and update, planned",
        "  the same of a file with a function such as this model's, and with less memory for 10 % more time:",
        f"      {FACTORY.rpartition(':')[0]}",
        "      roam profile train.py:make -o step.json.gz",
        "      roam plan step.json.gz --extra-time 0.1 -o step.roam.json",
        "  what is alive at the peak here, and why no order is lower:",
        f"      roam explain {stem}.roam.json",
        "  a notebook: pip install 'roam-lab[lab]', then %load_ext roam_lab and %roam lab; every command: roam --help",
    ]


def _since(began: float) -> str:
    return f"{time.perf_counter() - began:.0f} s"
