"""What becomes of one model: its eager steps against hooked steps from the same seed, bit by bit."""

from __future__ import annotations

import random
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

import roam_lab as roam
from tests.coverage.registry import Made
from tests.coverage.snapshot import digest, snapshot

STEPS = 4
PLAN_SECONDS = 5
"""Of each strategy: how good a plan is does not matter here."""
FAULTS = ("different", "traceback")
LINE = re.compile(r"\.py:\d+")


@dataclass(frozen=True)
class Outcome:
    """`word`, one of:

    identical      equal bit for bit, and every step but at most the first ran planned
    eager          equal, but more steps than the first ran eagerly
    refused        a RoamError, after which the eager step leaves what it always leaves
    different      a fault: something differs, or a refusal left something changed
    traceback      a fault: an error that is no RoamError, or no answer in time
    not trainable  the eager step itself fails, or leaves something else each time: not counted

    `reason`: one sentence; `details`: more, for who runs one model alone.
    """

    word: str
    reason: str = ""
    model: str = ""
    optimizer: str = ""
    step: str = ""
    planned_steps: int = 0
    values: int = 0
    details: str = ""

    def row(self) -> dict[str, Any]:
        """As a row of the results: without `details`."""
        return {key: value for key, value in asdict(self).items() if key != "details"}


def seed(number: int) -> None:
    """Every random state that a step may draw from."""
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


def optimizers_of(made: Made) -> tuple[torch.optim.Optimizer, ...]:
    """The optimizers of a step, one or several."""
    given = made["optimizer"]
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)


def fresh(build: Callable[[], Made]) -> Made:
    """The model, built from seed 0, ready to take its first step from seed 1."""
    seed(0)
    made = build()
    if "optimizer" not in made:
        made["optimizer"] = torch.optim.AdamW(made["model"].parameters(), lr=1e-3)
    seed(1)
    return made


def loss_of(result: Any) -> torch.Tensor:
    """The loss of a step that returns it alone, first in a tuple, or as `loss` in a dict."""
    if isinstance(result, Mapping):
        result = result["loss"]
    elif isinstance(result, (tuple, list)):
        result = result[0]
    return torch.as_tensor(result).detach().clone()


def taken(made: Made, step: Callable[[Any], Any]) -> dict[str, str]:
    """Losses of `STEPS` steps, and what they leave."""
    found = {}
    for index in range(STEPS):
        found[f"loss {index + 1}"] = digest(loss_of(step(made["batches"][index % len(made["batches"])])))
    return found | snapshot(made["model"], optimizers_of(made), made["extra"]() if "extra" in made else {})


def eager_steps(made: Made) -> dict[str, str]:
    """As training without roam-lab."""
    from roam_lab.capture import as_step

    step = as_step(made.get("loss"), made.get("step"))
    return taken(made, lambda batch: step(made["model"], made["optimizer"], batch))


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The names whose digests differ, losses first."""
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def told(error: BaseException) -> str:
    """An error as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def outcome_of(build: Callable[[], Made]) -> Outcome:
    """Build the model twice; train one eagerly, one by roam-lab; compare."""
    try:
        made = fresh(build)
        eager = eager_steps(made)
    except Exception as error:
        return Outcome("not trainable", told(error), details=traceback.format_exc())
    about: dict[str, Any] = {
        "model": type(made["model"]).__name__,
        "optimizer": " and ".join(type(optimizer).__name__ for optimizer in optimizers_of(made)),
        "step": "own step" if made.get("step") else "own loss" if made.get("loss") else "model's loss",
        "values": len(eager),
    }
    made = fresh(build)
    given = {"loss": made.get("loss"), "step": made.get("step")}
    hooked: Any = None
    done = 0

    def step(batch: Any) -> Any:
        nonlocal done
        result = hooked(batch)
        done += 1
        return result

    try:
        profile = roam.profile(made["model"], made["batches"][0], made["optimizer"], **given)
        options = {"on_mismatch": made["on_mismatch"]} if "on_mismatch" in made else {}
        hooked = roam.hook(profile.plan(time_limit=PLAN_SECONDS), made["model"], made["optimizer"], **given, **options)
        planned = taken(made, step)
    except roam.RoamError as error:
        after = None if done else _after_refusal(made, eager)
        if after is not None:
            if after[0] == "different" and (unsteady := differing(eager, eager_steps(fresh(build)))):
                return Outcome("not trainable", f"eager steps do not repeat themselves: {_first(unsteady)}", **about)
            return Outcome(after[0], f"{after[1]}, after the refusal {told(error)}", **about)
        return Outcome("refused", told(error), **about, details=traceback.format_exc())
    except Exception as error:
        return Outcome("traceback", told(error), **about, details=traceback.format_exc())
    count = planned_steps(hooked)
    names = differing(eager, planned)
    if names:
        return _different(build, eager, names, {**about, "planned_steps": count})
    word = "identical" if count >= STEPS - 1 else "eager"
    reason = "" if word == "identical" else str(getattr(hooked, "reasons", "") or "no reason is given")
    return Outcome(word, reason, **about, planned_steps=count)


def planned_steps(hooked: Any) -> int:
    """How many steps ran planned; of a hook that does not say so, all of them where it compiled anything."""
    count = getattr(hooked, "planned_steps", None)
    if count is None:
        return STEPS if hooked._compiled else 0
    return int(count)


def _after_refusal(made: Made, eager: dict[str, str]) -> tuple[str, str] | None:
    """A refusal before the first step has to leave everything as it was: the eager steps prove it."""
    try:
        names = differing(eager, eager_steps(made))
    except Exception as error:
        return "traceback", f"the eager step fails ({told(error)})"
    return ("different", f"eager steps differ in {_first(names)}") if names else None


def _different(build: Callable[[], Made], eager: dict[str, str], names: list[str], about: dict[str, Any]) -> Outcome:
    """A fault, unless the eager steps do not even repeat themselves."""
    unsteady = differing(eager, eager_steps(fresh(build)))
    if unsteady:
        return Outcome("not trainable", f"eager steps do not repeat themselves: {_first(unsteady)}", **about)
    return Outcome("different", _first(names), **about, details="\n".join(names))


def _first(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
