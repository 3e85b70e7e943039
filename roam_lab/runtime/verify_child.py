"""The fresh process of one verification run: `python -m roam_lab.runtime.verify_child REQUEST.json`.

Reads one request and writes one result file beside it. Modes: plan (captures and plans, so that the memory for that is
in neither run), eager, planned, paired (both by turns, for step times).
"""

from __future__ import annotations

import json
import random
import sys
import warnings
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy
import torch

from roam_lab.capture import TrainingStep, optimizers_of
from roam_lab.capture.device import check_device, check_holds_data
from roam_lab.capture.factory import load_factory, one_line
from roam_lab.capture.inputs import mapped
from roam_lab.capture.step import as_step
from roam_lab.capture.user_lines import traceback_user_line
from roam_lab.errors import RoamError, RoamWarning
from roam_lab.runtime.everything import digests_now, tensors_now
from roam_lab.runtime.identity import digest_each, results_named
from roam_lab.runtime.measured_run import BoundStep, measured_run, timed_step
from roam_lab.runtime.paired import TimedStep, in_own_process, paired_times

if TYPE_CHECKING:  # the eager run does without
    from roam_lab.runtime.planned_step import PlannedStep


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices)."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def make(request: dict[str, Any]) -> dict[str, Any]:
    """Seed, call the factory, and move what it made to the device."""
    device = check_device(request["device"])
    if request.get("deterministic"):
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it would launch kernels of its own
        torch.backends.cudnn.benchmark = False
    seed_everything(request["seed"])
    made = load_factory(request["factory"])
    if device.type != "cpu":
        move(made, device)
    check_holds_data(made["model"], made["batch"], "verified")
    return made


def move(made: dict[str, Any], device: torch.device) -> None:
    """Move what a factory made, in place: model, optimizer state and batch."""
    made["model"].to(device)
    for optimizer in optimizers_of(made["optimizer"]):
        for parameter, values in optimizer.state.items():
            for key, value in values.items():
                if isinstance(value, torch.Tensor) and key != "step":  # torch keeps step counters where they are
                    values[key] = value.to(parameter.device)
    made["batch"] = mapped(lambda x: x.to(device) if isinstance(x, torch.Tensor) else x, made["batch"])


def training_step(made: dict[str, Any]) -> TrainingStep:
    """The step of what a factory made."""
    return TrainingStep(made["model"], made["optimizer"], as_step(made.get("loss"), made.get("step")))


def bind_eager(made: dict[str, Any]) -> BoundStep:
    """The eager `step(batch)`."""
    return training_step(made).run


def bind_planned(made: dict[str, Any], plan: Any) -> PlannedStep:
    """The planned `step(batch)`, captured already; a plan that does not fit raises an error.

    The self-check is off, as the caller compares everything.
    """
    from roam_lab.runtime.hook import hook

    options: dict[str, Any] = {key: made.get(key) for key in ("loss", "step")}
    step = hook(plan, made["model"], made["optimizer"], **options, on_mismatch="error", check="never")
    step.prepare(made["batch"])
    return step


def _plan(request: dict[str, Any]) -> dict[str, Any]:
    from roam_lab.capture.captured import capture_step
    from roam_lab.plan.planner import make_plan

    made = make(request)
    captured = capture_step(
        made["model"], made["optimizer"], made["batch"], as_step(made.get("loss"), made.get("step"))
    )
    plan = make_plan(captured.graph, environment=captured.environment, **request["plan_options"])
    plan.save(request["plan"])
    return {}


def _run(request: dict[str, Any]) -> dict[str, Any]:
    made = make(request)
    step = bind_planned(made, request["plan"]) if request["mode"] == "planned" else bind_eager(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RoamWarning)  # `reasons` tell
        figures, results = measured_run(
            step,
            made["optimizer"],
            made["batch"],
            steps=request["steps"],
            scheduler=request["scheduler"],
            device=request["device"],
        )
    values = results_named(results)
    found = digest_each(values) | digests_now(training_step(made))
    if request.get("dump"):
        values |= tensors_now(training_step(made))
        value = values[request["dump"]]
        torch.save(value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value, request["dump_path"])
    return {"figures": figures.to_data(), "digests": found, "reasons": dict(getattr(step, "reasons", {}))}


def _timed(request: dict[str, Any]) -> TimedStep:
    """One step of `request["side"]` (eager, planned), timed."""
    made = make(request)
    step = bind_planned(made, request["plan"]) if request["side"] == "planned" else bind_eager(made)
    return lambda: timed_step(step, made["batch"], torch.device(request["device"]))[0]


def _paired(request: dict[str, Any]) -> dict[str, Any]:
    with (
        in_own_process(_timed, {**request, "side": "eager"}) as eager,
        in_own_process(_timed, {**request, "side": "planned"}) as planned,
    ):
        times = paired_times(eager, planned, request["steps"])
    return {"times": times, "ratio": median(b / a for a, b in times)}


def _error_data(error: Exception) -> dict[str, str]:
    """The exception as data: its class when it is one of ours, and one sentence."""
    if isinstance(error, RoamError):
        return {"kind": type(error).__name__, "message": one_line(error)}
    line = traceback_user_line(error.__traceback__)
    place = f" at {line}" if line else ""
    return {"kind": "RoamError", "message": f"raised {type(error).__name__}: {one_line(error)}{place}"}


def main() -> int:
    """Serve one request file."""
    path = Path(sys.argv[1])
    request = json.loads(path.read_text())
    serve = {"plan": _plan, "eager": _run, "planned": _run, "paired": _paired}[request["mode"]]
    try:
        result = serve(request)
    except Exception as error:
        result = {"error": _error_data(error)}
    Path(request["result"]).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
