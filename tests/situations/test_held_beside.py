"""Optimizers that hold parameters beside the model: weights of losses, class centres, heads, a temperature."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from tests.situations.judge import GRADIENTS, PLANNED, Situation, compare
from tests.situations.models import adamw, data, mlp, sgd, slow_unless

fn = nn.functional


class LogVariances(nn.Module):
    """Weights of two losses, learned (Kendall and others)."""

    def __init__(self) -> None:
        super().__init__()
        self.log_vars = nn.Parameter(torch.zeros(2))

    def forward(self, *losses: torch.Tensor) -> torch.Tensor:
        return ((-self.log_vars).exp() * torch.stack(losses) + self.log_vars).sum()


class ArcFace(nn.Module):
    def __init__(self, width: int = 8, classes: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, width))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        cosine = fn.linear(fn.normalize(x), fn.normalize(self.weight))
        sine = (1.0 - cosine.pow(2)).clamp(0, 1).sqrt()
        shifted = torch.where(cosine > -0.87, cosine * 0.87 - sine * 0.47, cosine - 0.24)
        hot = fn.one_hot(y, cosine.shape[1]).float()
        return fn.cross_entropy(8.0 * (hot * shifted + (1 - hot) * cosine), y)


def two_losses(model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    out = model(batch[0])
    return fn.cross_entropy(out[:, :4], batch[1]), out[:, 4:].abs().mean()


def finish(optimizer: Any, loss: torch.Tensor) -> torch.Tensor:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def in_a_loss_module() -> Situation:
    model, criterion = mlp(16, 8), LogVariances()
    optimizer = torch.optim.Adam([*model.parameters(), *criterion.parameters()], lr=1e-2)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        return finish(optimizer, criterion(*two_losses(model, batch)))

    return Situation(model, optimizer, data(), step=step, others={"criterion": criterion})


def given_as_loss() -> Situation:
    """A criterion with parameters, in a group of its own, as `loss=`."""
    model, head = mlp(16, 8), ArcFace()
    optimizer = torch.optim.SGD(
        [{"params": model.parameters()}, {"params": head.parameters(), "lr": 0.2}], lr=0.05, momentum=0.9
    )
    return Situation(model, optimizer, data(), head, others={"head": head})


def in_variables() -> Situation:
    """A plain parameter, in a tuple and in a dict, clipped with the model's."""
    model, scale = mlp(16, 4), nn.Parameter(torch.tensor(1.5))
    held = {"all": (scale, *model.parameters())}
    optimizer = torch.optim.AdamW([{"params": [scale], "weight_decay": 0.0}, {"params": model.parameters()}], lr=1e-2)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> dict[str, torch.Tensor]:
        loss = fn.cross_entropy(model(batch[0]) * held["all"][0].exp(), batch[1])
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(held["all"], 0.5)
        optimizer.step()
        with torch.no_grad():
            scale.clamp_(0, 1.51)
        return {"loss": loss.detach(), "norm": norm}

    return Situation(model, optimizer, data(), step=step, others={"scale": scale})


def of_a_second_optimizer() -> Situation:
    """Centre loss: centres stepped by an optimizer of their own, their gradient scaled by hand."""
    model, centres = nn.Sequential(mlp(16, 6), nn.Linear(6, 4)), nn.Embedding(4, 6)
    first, second = adamw(model), torch.optim.SGD(centres.parameters(), lr=0.5)

    def step(model: Any, optimizers: Any, batch: Any) -> torch.Tensor:
        h = model[0](batch[0])
        loss = fn.cross_entropy(model[1](h), batch[1]) + 0.01 * (h - centres(batch[1])).pow(2).sum(1).mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for p in centres.parameters():
            p.grad.data *= 1.0 / 0.01
        for optimizer in optimizers:
            optimizer.step()
        return loss.detach()

    return Situation(model, (first, second), data(), step=step, others={"centres": centres})


def prompt_of_a_frozen_model() -> Situation:
    model = mlp(16, 4).requires_grad_(False)
    prompt = nn.Parameter(torch.randn(1, 12) * 0.1)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        return finish(optimizer, fn.cross_entropy(model(batch[0] + prompt), batch[1]))

    return Situation(model, torch.optim.Adam([prompt], lr=1e-2), data(), step=step, others={"prompt": prompt})


def several_modules() -> Situation:
    """An actor given as model, its critic beside it; the critic's layers are normed by a parametrization, and its
    gradients are cleared by the module."""
    model = mlp(16, 4)
    critic = nn.Sequential(parametrizations.weight_norm(nn.Linear(12, 8)), nn.BatchNorm1d(8), nn.Linear(8, 1))
    optimizer = torch.optim.RMSprop([*model.parameters(), *critic.parameters()], lr=1e-2)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        value = critic(batch[0]).squeeze(-1)
        loss = (fn.cross_entropy(model(batch[0]), batch[1], reduction="none") * value.detach()).mean()
        loss = loss + fn.mse_loss(value, batch[1].float())
        model.zero_grad()
        critic.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Situation(model, optimizer, data(), step=step, others={"critic": critic})


def scheduled_and_averaged() -> Situation:
    """A scheduler, a moving mean of the loss's weights, and an older copy of the model in the optimizer that nothing
    uses."""
    model, criterion = mlp(16, 8), LogVariances()
    old, mean = copy.deepcopy(model), copy.deepcopy(criterion).requires_grad_(False)
    optimizer = torch.optim.AdamW([*model.parameters(), *old.parameters(), *criterion.parameters()], lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> float:
        loss = finish(optimizer, criterion(*two_losses(model, batch)))
        scheduler.step()
        mean.log_vars.lerp_(criterion.log_vars.detach(), 0.1)
        return loss.item()

    others = {"criterion": criterion, "old": old, "mean": mean, "scheduler": scheduler}
    return Situation(model, optimizer, data(), step=step, others=others)


def accumulated() -> Situation:
    """Gradients stay from one call to the next."""
    model, criterion = mlp(16, 8), LogVariances()
    optimizer = torch.optim.SGD([*model.parameters(), *criterion.parameters()], lr=0.05, momentum=0.9)
    at = {"calls": 0}

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        loss = criterion(*two_losses(model, batch))
        loss.backward()
        at["calls"] += 1
        if at["calls"] % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    return Situation(model, optimizer, data(), step=step, others={"criterion": criterion})


ALL = [
    in_a_loss_module, given_as_loss, in_variables, of_a_second_optimizer, prompt_of_a_frozen_model, several_modules,
    scheduled_and_averaged,
]  # fmt: skip
OFTEN = {"in_a_loss_module", "given_as_loss", "prompt_of_a_frozen_model", "several_modules"}


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_parameters_beside_the_model(make):
    slow_unless(make.__name__ in OFTEN)
    compare(make, 9, ignore=GRADIENTS).must_be(PLANNED)
    if make is given_as_loss:
        compare(make, 9, keep_grads=True, hooking=keeping).must_be(PLANNED)


def keeping(made: Situation, *_: Any) -> Any:
    import roam_lab as roam

    return roam.hook(made.model, made.optimizer, loss=made.loss, cache=False, keep_grads=True)


def test_gradients_that_stay_between_calls():
    compare(accumulated, 10, variants=4, on_mismatch="replan").must_be(PLANNED)


def replaced(made: Situation, index: int) -> None:
    """Between the steps another parameter takes the place, in the criterion and in the optimizer."""
    if index == 3:
        new = nn.Parameter(made.others["criterion"].log_vars.detach() + 1)
        made.others["criterion"].log_vars = new
        made.optimizer.param_groups[0]["params"][-1] = new


def replaced_in_the_criterion_alone(made: Situation, index: int) -> None:
    if index == 3:
        made.others["criterion"].log_vars = nn.Parameter(torch.ones(2))


def frozen(made: Situation, index: int) -> None:
    made.others["criterion"].log_vars.requires_grad_(index != 3)


def loaded(made: Situation, index: int) -> None:
    if index == 3:
        made.others["criterion"].load_state_dict({"log_vars": torch.ones(2)})
        made.optimizer.load_state_dict(copy.deepcopy(made.optimizer.state_dict()))


def added(made: Situation, index: int) -> None:
    if index == 3:
        made.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))], "lr": 1.0})


@pytest.mark.parametrize(
    "between", [replaced, replaced_in_the_criterion_alone, frozen, loaded, added], ids=lambda one: one.__name__
)
def test_changed_between_steps(between):
    verdict = compare(in_a_loss_module, 9, between=between, on_mismatch="replan", variants=4, ignore=GRADIENTS)
    verdict.must_be({"planned", "eager"})
    assert verdict.planned >= 3


def older_copy() -> Situation:
    """The optimizer was made of another model's parameters: a slip, and eager trains nothing."""
    model = mlp(16, 4)
    return Situation(model, sgd(copy.deepcopy(model)), data(), nn.CrossEntropyLoss())


def test_an_optimizer_of_another_model():
    verdict = compare(older_copy, 4, ignore=GRADIENTS).must_be({"refused"})
    assert "the optimizer holds 4 parameter(s) that are not the model's, the first of shape (16, 12)" in verdict.why
