"""The reasons why steps ran eagerly: counted by sentence; each is a warning once."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from roam_lab.capture import Captured
from roam_lab.errors import RoamError, RoamWarning
from roam_lab.ir import fingerprint
from roam_lab.plan import Plan

_PLAN_AGAIN = "plan again, or use on_mismatch='eager'"
_PACKAGE = str(Path(__file__).resolve().parents[1])


@dataclass(frozen=True)
class Reason:
    """Why a step runs eagerly. Steps are counted by `sentence`, so it must not contain values that change each time.

    `detail`: a sentence for this very step that says more. `advice`: what to do, in an error, and in the warning where
    it is the reason's own. `first`: it is a first step, which has to run eagerly once; that is no mismatch.
    """

    sentence: str
    detail: str = ""
    advice: str = _PLAN_AGAIN
    first: bool = False

    @property
    def error(self) -> str:
        """The text of the error that is raised for this reason (on_mismatch="error")."""
        return f"{self.detail or self.sentence}; {self.advice}"


class Reasons(dict[str, int]):
    """Sentence -> number of steps that ran eagerly for this reason. A sentence is shown as a warning the first time."""

    def count(self, reason: Reason) -> None:
        """Count one more eager step."""
        known = reason.sentence in self
        self[reason.sentence] = self.get(reason.sentence, 0) + 1
        if not known:
            text = f"a training step ran eagerly: {reason.detail or reason.sentence}"
            text += "" if reason.advice == _PLAN_AGAIN else f"; {reason.advice}"
            warnings.warn(f"{text} (warned once; counted in step.reasons)", RoamWarning, stacklevel=_users_level())


def _users_level() -> int:
    """The `stacklevel` with which a warning in `count` names the user's line."""
    frame, level = sys._getframe(1), 1  # that of `count`
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def refusal(error: RoamError, changed: bool) -> Reason:
    """The reason to run eagerly where a step cannot be captured. `changed`: others of this hook were planned before."""
    what = "in another mode, or after a change, the step is another" if changed else "the step cannot be planned"
    why, _, advice = str(error).partition("; ")
    return Reason(f"{what}: {why}", advice=advice or _PLAN_AGAIN)


def leading(error: RoamError) -> Reason:
    """The reason to run eagerly a step that is captured as it ran. `error`: why it could not be captured before."""
    why = str(error).partition(";")[0]
    return Reason(f"the first step of its kind runs eagerly, and shows what to capture ({why})")


def another_step(captured: Captured, plan: Plan) -> str:
    """A sentence on why a captured step is not the one that was planned."""
    here, there = captured.environment, plan.environment
    for key in ("torch", "device", "batch", "model"):
        if key in there and there[key] != here[key]:
            shown = "" if key == "model" else f" ({there[key]} then, {here[key]} now)"
            return f"the plan was made for another {key}{shown}; profile and plan this step again"
    return (
        f"the plan was made for another training step (graph {plan.graph_sha256[:12]}, this one is "
        f"{fingerprint(captured.graph)[:12]}: another optimizer, loss, model code or training mode); "
        "profile and plan this step again"
    )
