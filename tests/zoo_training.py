"""Optimizers in all their flavours and user-written train steps, for the models of `zoo`.

`OPTIMIZERS`: name -> function(params) -> optimizer. `STEPS`: name -> `train_step(model, optimizer, batch)` for the
batch of `zoo.tiny`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

Parameters = Iterable[nn.Parameter]


def adamw(params: Parameters) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=1e-2)


def adamw_groups(params: Parameters) -> torch.optim.Optimizer:
    """Three groups with their own rate and decay, the frozen and the unused parameter among them."""
    every = list(params)
    return torch.optim.AdamW(
        [
            {"params": every[0::3], "lr": 1e-2, "weight_decay": 0.1},
            {"params": every[1::3], "lr": 3e-3, "weight_decay": 0.0, "betas": (0.8, 0.99)},
            {"params": every[2::3], "eps": 1e-6},
        ],
        lr=1e-3,
    )


def _table() -> dict[str, Callable[[Parameters], torch.optim.Optimizer]]:
    optim = torch.optim

    def entry(kind: Any, **settings: Any) -> Callable[[Parameters], torch.optim.Optimizer]:
        return lambda params: kind(list(params), lr=1e-2, **settings)

    flavours: dict[str, dict[str, Any]] = {
        "single": {"foreach": False},
        "foreach": {"foreach": True},
        "fused": {"fused": True},
    }
    table: dict[str, Callable[[Parameters], torch.optim.Optimizer]] = {"adamw": adamw, "adamw_groups": adamw_groups}
    for flavour, settings in flavours.items():
        table[f"sgd_{flavour}"] = entry(optim.SGD, **settings)
        table[f"sgd_momentum_{flavour}"] = entry(optim.SGD, momentum=0.9, weight_decay=0.01, **settings)
        table[f"sgd_nesterov_{flavour}"] = entry(optim.SGD, momentum=0.9, nesterov=True, **settings)
        table[f"adam_{flavour}"] = entry(optim.Adam, weight_decay=0.01, **settings)
        table[f"adam_amsgrad_{flavour}"] = entry(optim.Adam, amsgrad=True, **settings)
        table[f"adamw_{flavour}"] = entry(optim.AdamW, **settings)
        table[f"adamw_amsgrad_{flavour}"] = entry(optim.AdamW, amsgrad=True, **settings)
        table[f"adagrad_{flavour}"] = entry(optim.Adagrad, **settings)
        if flavour == "fused":
            continue
        table[f"rmsprop_{flavour}"] = entry(optim.RMSprop, **settings)
        table[f"rmsprop_momentum_centered_{flavour}"] = entry(optim.RMSprop, momentum=0.9, centered=True, **settings)
        table[f"adafactor_{flavour}"] = entry(optim.Adafactor, **settings)
        table[f"nadam_{flavour}"] = entry(optim.NAdam, **settings)
        table[f"adadelta_{flavour}"] = entry(optim.Adadelta, **settings)
        table[f"adamax_{flavour}"] = entry(optim.Adamax, **settings)
    table["sgd_dampening"] = entry(optim.SGD, momentum=0.9, dampening=0.1)
    table["sgd_maximize"] = entry(optim.SGD, maximize=True)
    return table


OPTIMIZERS = _table()


def clipped_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
    """Gradients cleared first, clipped by their norm."""
    optimizer.zero_grad()
    loss: torch.Tensor = model(**batch)["loss"]
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    return loss


def autocast_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
    """Forward in bf16 autocast, update in float32."""
    optimizer.zero_grad()
    with torch.autocast(next(model.parameters()).device.type, dtype=torch.bfloat16):
        loss: torch.Tensor = model(**batch)["loss"]
    loss.backward()
    optimizer.step()
    return loss


def accumulation_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
    """Four micro-batches, gradients summed in place, one update; gradients cleared at the end."""
    total = torch.zeros((), device=next(model.parameters()).device)
    for index in range(4):
        micro = {key: value[index : index + 1] for key, value in batch.items()}
        loss = model(**micro)["loss"] / 4
        loss.backward()
        total += loss.detach()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def clipped_accumulation_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
    """Accumulation in bf16 autocast with clipping: the three together."""
    optimizer.zero_grad()
    losses = []
    for index in range(4):
        micro = {key: value[index : index + 1] for key, value in batch.items()}
        with torch.autocast(next(model.parameters()).device.type, dtype=torch.bfloat16):
            loss = model(**micro)["loss"] / 4
        loss.backward()
        losses.append(loss.detach())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    return torch.stack(losses).sum()


Step = Callable[[nn.Module, torch.optim.Optimizer, Any], torch.Tensor]


def surgery_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
    """Two losses whose gradients are taken one after the other, set aside over a zero_grad, and joined."""
    optimizer.zero_grad()
    first = model(**batch)["loss"]
    first.backward()
    aside = [parameter.grad for parameter in model.parameters()]
    optimizer.zero_grad()
    second = model(**batch)["loss"].square()
    second.backward()
    with torch.no_grad():
        for parameter, gradient in zip(model.parameters(), aside, strict=True):
            if gradient is not None and parameter.grad is not None:
                gradient.sub_((parameter.grad * gradient).sum().clamp(max=0) * parameter.grad)
                parameter.grad.add_(gradient)
    optimizer.step()
    return (first + second).detach()


STEPS: dict[str, Step] = {
    "surgery": surgery_step,
    "clipped": clipped_step,
    "autocast": autocast_step,
    "accumulation": accumulation_step,
    "clipped_accumulation": clipped_accumulation_step,
}
