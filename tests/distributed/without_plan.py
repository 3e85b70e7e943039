"""Training by `roam.hook(model, optimizer)` on several ranks, against the same training without it."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

import roam_lab as roam
from roam_lab.runtime.identity import digest
from tests.distributed.models import found, rows, step, trained, wrapped


def evaluated(run: Any, model: Any) -> Any:
    """`run`, with an evaluation by the user after every second step."""
    done: list[Any] = []

    def with_evaluation(batch: Any) -> Any:
        result = run(batch)
        done.append(batch)
        if len(done) % 2:
            return {"loss": result}
        model.eval()
        with torch.no_grad():
            found = model(done[0][0]) if isinstance(done[0], tuple) else model(**done[0]).loss
        model.train()
        return {"loss": result, "evaluation": found}

    return with_evaluation


def gradients(model: Any) -> dict[str, str]:
    """Digests of those that are there."""
    return {f"gradient of {name}": digest(one.grad) for name, one in model.named_parameters() if one.grad is not None}


def smaller_last(count: int) -> list[Any]:
    """Batches of which the last but one is smaller on rank 1."""
    batches = rows(count)
    if dist.get_rank() == 1:
        batches[-2] = rows(1, size=3)[0]
    return batches


def both(
    make: Any, batches: Any, train_step: Any = step, optimizer: Any = torch.optim.AdamW, hooked: Any = None,
    keeps: bool = False, **settings: Any,
) -> dict[str, Any]:  # fmt: skip
    """The same training by the wrapper alone, and through a hook that makes its own plan. `keeps`: gradients that are
    there after it are compared, too."""
    model, its = wrapped(make, optimizer, **settings)
    eager = trained(evaluated(lambda batch: train_step(model, its, batch), model), model, its, batches)
    eager |= gradients(model) if keeps else {}
    model, its = wrapped(make, optimizer, **settings)
    run = roam.hook(model, its, step=train_step, **(hooked or {}))
    planned = trained(evaluated(run, model), model, its, batches)
    planned |= gradients(model) if keeps else {}
    return found(run, eager, planned) | {"plan": run.plan}
