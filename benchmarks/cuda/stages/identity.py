"""Stage 3: the models, optimizers and steps of the identity tests: four planned steps against four eager ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NO_BITS
from benchmarks.cuda.models import Training
from roam_lab.capture import as_step, can_prime
from roam_lab.capture.snapshot import RandomState
from roam_lab.capture.torch_internals import pytree
from roam_lab.runtime.identity import Digests, digest, digests, first_differences
from roam_lab.runtime.measured_run import decay_learning_rates
from tests.copies import copied
from tests.zoo import MODELS, OPTIMIZERS, STEPS, adamw

COUNT = 4
TABLES: dict[str, Any] = {"models": MODELS, "optimizers": OPTIMIZERS, "steps": STEPS}


def run(cell: Cell) -> None:
    """A part a model, optimizer or step."""
    kind = cell.settings["kind"]
    for name in cell.settings.get("names") or sorted(TABLES[kind]):
        if cell.wanted(name):
            with cell.part(name) as line:
                line |= _compared(cell, kind, name)


def made(kind: str, name: str) -> Training:
    """An entry of tests/zoo.py on the device, after the step that makes what only a first step makes, if any."""
    torch.manual_seed(0)
    model, batch, loss = MODELS[name if kind == "models" else "tiny"]()
    model.cuda()
    batch = pytree.tree_map(lambda x: x.cuda() if isinstance(x, torch.Tensor) else x, batch)
    optimizer = (OPTIMIZERS[name] if kind == "optimizers" else adamw)(model.parameters())
    own = STEPS[name] if kind == "steps" else as_step(loss.cuda() if isinstance(loss, torch.nn.Module) else loss)
    training = Training(model, optimizer, batch, own)
    settles = any(getattr(module, "config", None) is not None for module in model.modules())
    if settles or not can_prime(optimizer):
        training.run()
    return training


def _compared(cell: Cell, kind: str, name: str) -> dict[str, Any]:
    found = _three_runs(cell, kind, name)
    if not cell.fake and found["repeatable"] is False:
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            found = {**_three_runs(cell, kind, name), "repeatable": False, "deterministic": True}
        finally:
            torch.use_deterministic_algorithms(False)
    differences = found.pop("differences")
    if cell.fake:
        return {**found, "repeatable": None, "identical": None, "bits": NO_BITS}
    return {**found, "identical": not differences, "differences": list(differences)[:8],
            "status": "differs" if differences else "done"}  # fmt: skip


def _three_runs(cell: Cell, kind: str, name: str) -> dict[str, Any]:
    """Eager twice on copies, and planned: each four steps from one state."""
    ours = made(kind, name)
    hooked, plan = plans.hooked(cell, f"zoo_{kind}_{name}", ours)
    start, eager = RandomState(), []
    for _ in range(2):
        twin, twin_optimizer = copied(ours.model, ours.optimizer)
        start.restore()
        eager.append(_steps(lambda pair: pair.run(), Training(twin, twin_optimizer, ours.batch, ours.step)))
    start.restore()
    planned = _steps(lambda pair: hooked(pair.batch), ours)
    return {
        "repeatable": eager[0] == eager[1],
        "plan": plan,
        "planned_steps": hooked.planned_steps,
        "reasons": hooked.reasons,
        "differences": first_differences(eager[0], planned),
    }


def _steps(step: Callable[[Training], Any], training: Training) -> Digests:
    found = {}
    for index in range(COUNT):
        found[f"loss {index + 1}"] = digest(step(training))
        decay_learning_rates(training.optimizer)
    random = {"random state": digest(torch.get_rng_state()), "device": digest(torch.cuda.get_rng_state())}
    return {**found, **digests(training.model, training.optimizer), **random}
