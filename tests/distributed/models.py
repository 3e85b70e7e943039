"""Tiny models, their batches, and the same training by DistributedDataParallel alone and through the hook."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import roam_lab as roam
from roam_lab.runtime.identity import digest, digests


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 24), nn.GELU(), nn.Linear(24, 5))


def with_batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 5))


class WithUnused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused, self.last = nn.Linear(12, 24), nn.Linear(12, 24), nn.Linear(24, 5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.used(inputs)))


def with_unused() -> nn.Module:
    return WithUnused()


def gpt2() -> nn.Module:
    import transformers

    config = transformers.GPT2Config(
        vocab_size=64, n_positions=16, n_embd=32, n_layer=1, n_head=2, attn_pdrop=0.1, resid_pdrop=0.1, embd_pdrop=0.1
    )
    return transformers.GPT2LMHeadModel(config)


def rows(count: int, size: int = 4) -> list[Any]:
    """Batches of this rank's own."""
    generator = torch.Generator().manual_seed(100 + dist.get_rank())
    return [
        (torch.randn(size, 12, generator=generator), torch.randint(0, 5, (size,), generator=generator))
        for _ in range(count)
    ]


def tokens(count: int) -> list[Any]:
    generator = torch.Generator().manual_seed(100 + dist.get_rank())
    batches = [torch.randint(0, 64, (2, 16), generator=generator) for _ in range(count)]
    return [{"input_ids": batch, "labels": batch} for batch in batches]


def step(model: Any, optimizer: Any, batch: Any) -> torch.Tensor:
    """What a user writes."""
    optimizer.zero_grad()
    loss = model(**batch).loss if isinstance(batch, dict) else nn.functional.cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    optimizer.step()
    return loss.detach()


def clipped(model: Any, optimizer: Any, batch: Any) -> Any:
    loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()
    optimizer.zero_grad()
    return {"loss": loss.detach(), "norm": norm}


def wrapped(make: Any, optimizer: Any = torch.optim.AdamW, **settings: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = DistributedDataParallel(make(), **settings)
    return model, optimizer(model.parameters(), lr=0.01)


def trained(run: Any, model: Any, optimizer: Any, batches: Any) -> dict[str, str]:
    """Digests of every result, and of all that training leaves, on this rank."""
    torch.manual_seed(7 + dist.get_rank())
    left = {}
    for index, batch in enumerate(batches):
        result = run(batch)
        for name, value in result.items() if isinstance(result, dict) else [("loss", result)]:
            left[f"{name} {index}"] = digest(value)
    return {**left, **digests(model, optimizer), "random": digest(torch.get_rng_state())}


def both(
    make: Any,
    batches: Any,
    train_step: Any = step,
    optimizer: Any = torch.optim.AdamW,
    hooked: Any = None,
    **settings: Any,
) -> dict[str, Any]:
    """The same training by the wrapper alone, and through the hook from its first step on."""
    model, its = wrapped(make, optimizer, **settings)
    eager = trained(lambda batch: train_step(model, its, batch), model, its, batches)
    model, its = wrapped(make, optimizer, **settings)
    plan = roam.profile(model, batches[0], its, step=train_step).plan()
    run = roam.hook(plan, model, its, step=train_step, **(hooked or {}))
    planned = trained(run, model, its, batches)
    return found(run, eager, planned) | {"left": digests(model, its), "plan": plan}


def found(run: Any, eager: dict[str, str], planned: dict[str, str]) -> dict[str, Any]:
    """What a test looks at after both trainings: which digests differ, and what the hook says of its steps."""
    return {
        "differs": [name for name in eager if eager[name] != planned.get(name)],
        "planned": run.planned_steps,
        "eager": run.eager_steps,
        "reasons": dict(run.reasons),
        "notes": run.notes,
    }
