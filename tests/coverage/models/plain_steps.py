"""One small classifier under the steps and optimizers of training loops: clipping, scaling, schedules, closures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.coverage.models.plain_small import dense, stepped, usual
from tests.coverage.registry import Made, Source

MODELS = Source("plain_steps")
Optimizer = torch.optim.Optimizer


def _updated(optimizer: Optimizer) -> None:
    optimizer.step()
    optimizer.zero_grad()


@MODELS.model("clipping")
def clipped_norm() -> Made:
    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        loss = usual(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        _updated(optimizer)
        return loss.detach()

    return stepped(step)


@MODELS.model("clipping")
def clipped_value() -> Made:
    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = usual(model, batch)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.01)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return stepped(step)


@MODELS.model("clipping", ci=True)
def skipped_when_not_finite() -> Made:
    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        loss = usual(model, batch)
        if not torch.isfinite(loss):
            optimizer.zero_grad()
            return loss.detach()
        loss.backward()
        _updated(optimizer)
        return loss.detach()

    return stepped(step)


@MODELS.model("accumulation")
def accumulated() -> Made:
    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        total = torch.zeros(())
        for inputs, targets in zip(batch[0].chunk(3), batch[1].chunk(3), strict=True):
            loss = usual(model, (inputs, targets)) / 3
            loss.backward()
            total = total + loss.detach()
        _updated(optimizer)
        return total

    return stepped(step)


@MODELS.model("precision")
def autocast_bfloat16() -> Made:
    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            loss = usual(model, batch)
        loss.backward()
        _updated(optimizer)
        return loss.detach()

    return stepped(step)


def _scaled(**settings: Any) -> Made:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)

    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        with torch.autocast("cpu", torch.float16):
            loss = usual(model, batch)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        return loss.detach()

    made = stepped(step)
    optimizer = torch.optim.AdamW(made["model"].parameters(), lr=1e-3, **settings)
    return {**made, "optimizer": optimizer, "extra": lambda: scaler.state_dict()}


@MODELS.model("precision", ci=True)
def grad_scaler() -> Made:
    return _scaled()


@MODELS.model("precision")
def grad_scaler_fused() -> Made:
    return _scaled(fused=True)


@MODELS.model("schedules", ci=True)
def scheduler_in_step() -> Made:
    held: dict[str, Any] = {}

    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        loss = usual(model, batch)
        loss.backward()
        _updated(optimizer)
        held["scheduler"].step()
        return loss.detach()

    made = stepped(step)
    optimizer = torch.optim.AdamW(made["model"].parameters(), lr=1e-2)
    held["scheduler"] = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda count: 1 / (1 + count))
    return {**made, "optimizer": optimizer, "extra": lambda: {"last": held["scheduler"].last_epoch}}


@MODELS.model("schedules")
def counter_in_forward() -> Made:
    """A Python counter of the module sets the weight of a part of the loss."""

    class Annealed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = dense(12, 16, 5)
            self.count = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count += 1
            return self.body(x) * min(1.0, self.count / 3)

    made = stepped(lambda model, optimizer, batch: batch)
    del made["step"]
    return {**made, "model": Annealed(), "loss": nn.CrossEntropyLoss()}


@MODELS.model("logging")
def loss_logged() -> Made:
    log: list[float] = []

    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        loss = usual(model, batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        _updated(optimizer)
        log.append(loss.item() + norm.item())
        return loss.detach()

    return stepped(step, extra=lambda: list(log))


@MODELS.model("closures", ci=True, refused="LBFGS.step needs a closure")
def lbfgs() -> Made:
    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = usual(model, batch)
            loss.backward()
            return loss

        loss = optimizer.step(closure)  # type: ignore[arg-type]
        optimizer.zero_grad()
        return torch.as_tensor(loss).detach()

    made = stepped(step)
    return {**made, "optimizer": torch.optim.LBFGS(made["model"].parameters(), lr=0.1, max_iter=2)}


@MODELS.model("closures")
def sharpness_aware() -> Made:
    """Two forward and backward passes a step, the second one from perturbed weights."""

    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        loss = usual(model, batch)
        loss.backward()
        with torch.no_grad():
            slopes = [parameter.grad for parameter in model.parameters()]
            norm = torch.stack([slope.norm() for slope in slopes if slope is not None]).norm() + 1e-12
            moves = [0.05 * slope / norm for slope in slopes if slope is not None]
            for parameter, move in zip(model.parameters(), moves, strict=True):
                parameter.add_(move)
        optimizer.zero_grad()
        usual(model, batch).backward()
        with torch.no_grad():
            for parameter, move in zip(model.parameters(), moves, strict=True):
                parameter.sub_(move)
        _updated(optimizer)
        return loss.detach()

    made = stepped(step)
    return {**made, "optimizer": torch.optim.SGD(made["model"].parameters(), lr=0.1, momentum=0.9)}


def _trained_by(make: Callable[[Any], Optimizer]) -> Callable[[], Made]:
    def build() -> Made:
        def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
            loss = usual(model, batch)
            loss.backward()
            _updated(optimizer)
            return loss.detach()

        made = stepped(step)
        return {**made, "optimizer": make(made["model"].parameters())}

    return build


for _name, _make in {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True, weight_decay=0.01),
    "adam_amsgrad": lambda p: torch.optim.Adam(p, amsgrad=True),
    "adamw_fused": lambda p: torch.optim.AdamW(p, fused=True),
    "adamw_foreach": lambda p: torch.optim.AdamW(p, foreach=True),
    "adafactor": lambda p: torch.optim.Adafactor(p),
    "adagrad": lambda p: torch.optim.Adagrad(p),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "adamax": lambda p: torch.optim.Adamax(p),
    "nadam": lambda p: torch.optim.NAdam(p),
    "radam": lambda p: torch.optim.RAdam(p),
    "asgd": lambda p: torch.optim.ASGD(p),
    "rprop": lambda p: torch.optim.Rprop(p),
    "rmsprop": lambda p: torch.optim.RMSprop(p, momentum=0.9, centered=True),
}.items():
    MODELS.add(f"optimizer_{_name}", "optimizers", _trained_by(_make))


@MODELS.model("optimizers")
def muon_beside_adamw() -> Made:
    """Muon for matrices, AdamW for the rest."""

    def step(model: nn.Module, optimizers: Any, batch: Any) -> torch.Tensor:
        loss = usual(model, batch)
        loss.backward()
        for optimizer in optimizers:
            _updated(optimizer)
        return loss.detach()

    made = stepped(step)
    matrices = [parameter for parameter in made["model"].parameters() if parameter.dim() == 2]
    rest = [parameter for parameter in made["model"].parameters() if parameter.dim() != 2]
    return {**made, "optimizer": (torch.optim.Muon(matrices), torch.optim.AdamW(rest))}
