"""Models of plain torch with a depth that varies, with several optimizers, with encoders that follow others."""

from __future__ import annotations

import copy
import random
from typing import Any

import torch
from torch import nn
from torch.nn import functional as fn

from tests.coverage.models.plain_parts import CLASSES, Mapped, classified, regressed
from tests.coverage.models.plain_small import Optimizer, dense, usual
from tests.coverage.registry import Made, Source

MODELS = Source("plain_training")

# depth that varies


@MODELS.model("random depth")
def layer_drop_by_python() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        for layer in m.layers:
            if random.random() < 0.3:
                continue
            x = x + layer(x)
        return x

    return regressed(
        Mapped(forward, layers=nn.ModuleList(dense(8, 16, 8) for _ in range(3))), lambda: (torch.randn(4, 8),)
    )


@MODELS.model("random depth")
def layer_drop_by_torch() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        for layer in m.layers:
            if torch.rand([]) < 0.3:
                continue
            x = x + layer(x)
        return x

    return regressed(
        Mapped(forward, layers=nn.ModuleList(dense(8, 16, 8) for _ in range(3))), lambda: (torch.randn(4, 8),)
    )


@MODELS.model("random depth")
def stochastic_depth_by_rows() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        for layer in m.layers:
            kept = torch.empty(x.shape[0], 1).bernoulli_(0.8)
            x = x + layer(x) * kept / 0.8
        return x

    return regressed(
        Mapped(forward, layers=nn.ModuleList(dense(8, 16, 8) for _ in range(3))), lambda: (torch.randn(4, 8),)
    )


# several models, several optimizers


@MODELS.model("several optimizers", ci=True)
def gan() -> Made:
    model = nn.ModuleDict({"g": dense(8, 16, 12), "d": dense(12, 16, 1)})
    makers = (
        torch.optim.Adam(model["g"].parameters(), lr=2e-3, betas=(0.5, 0.999)),
        torch.optim.Adam(model["d"].parameters()),
    )

    def step(model: Any, optimizers: Any, real: torch.Tensor) -> torch.Tensor:
        for_g, for_d = optimizers
        fake = model["g"](torch.randn(real.shape[0], 8))
        ones, zeros = torch.ones(real.shape[0], 1), torch.zeros(real.shape[0], 1)
        judged = fn.binary_cross_entropy_with_logits
        loss_d = judged(model["d"](real), ones) + judged(model["d"](fake.detach()), zeros)
        for_d.zero_grad()
        loss_d.backward()
        for_d.step()
        loss_g = judged(model["d"](fake), ones)
        for_g.zero_grad()
        loss_g.backward()
        for_g.step()
        for_g.zero_grad()
        for_d.zero_grad()
        return loss_g.detach() + loss_d.detach()

    return {"model": model, "batches": [torch.randn(6, 12) for _ in range(2)], "step": step, "optimizer": makers}


@MODELS.model("several optimizers")
def sparse_and_dense_optimizers() -> Made:
    model = nn.ModuleDict({"table": nn.Embedding(20, 8), "body": dense(8, 16, CLASSES)})
    both = (torch.optim.Adagrad(model["table"].parameters(), lr=0.1), torch.optim.AdamW(model["body"].parameters()))

    def step(model: Any, optimizers: Any, batch: Any) -> torch.Tensor:
        words, targets = batch
        loss = fn.cross_entropy(model["body"](model["table"](words).mean(1)), targets)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    batches = [(torch.randint(0, 20, (5, 4)), torch.randint(0, CLASSES, (5,))) for _ in range(2)]
    return {"model": model, "batches": batches, "step": step, "optimizer": both}


@MODELS.model("momentum encoders", ci=True)
def moco() -> Made:
    """As its authors wrote it: the key encoder's data rebound, a queue with a pointer in a buffer."""

    class MomentumContrast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query = dense(12, 16, 8)
            self.key = copy.deepcopy(self.query).requires_grad_(False)
            self.register_buffer("queue", fn.normalize(torch.randn(8, 24), dim=0))
            self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))

        @torch.no_grad()
        def _enqueue(self, keys: torch.Tensor) -> None:
            pointer = int(self.pointer)
            self.queue[:, pointer : pointer + keys.shape[0]] = keys.T
            self.pointer[0] = (pointer + keys.shape[0]) % 24

        def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
            q = fn.normalize(self.query(one), dim=1)
            with torch.no_grad():
                for of_query, of_key in zip(self.query.parameters(), self.key.parameters(), strict=True):
                    of_key.data = of_key.data * 0.99 + of_query.data * 0.01
                k = fn.normalize(self.key(two), dim=1)
            near = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
            far = torch.einsum("nc,ck->nk", [q, self.queue.clone().detach()])
            self._enqueue(k)
            return fn.cross_entropy(torch.cat([near, far], 1) / 0.07, torch.zeros(one.shape[0], dtype=torch.long))

    model = MomentumContrast()
    batches = [(torch.randn(6, 12), torch.randn(6, 12)) for _ in range(2)]
    return {"model": model, "batches": batches, "optimizer": torch.optim.SGD(model.query.parameters(), 0.03, 0.9)}


@MODELS.model("momentum encoders")
def ema_teacher() -> Made:
    """Distillation from a moving average of itself, kept outside the model."""
    made = classified(dense(12, 16, CLASSES), 6, 12)
    teacher = copy.deepcopy(made["model"]).requires_grad_(False)

    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        scores = model(batch[0])
        targets = teacher(batch[0]).softmax(1)
        loss = fn.cross_entropy(scores, batch[1]) + fn.kl_div(scores.log_softmax(1), targets, reduction="batchmean")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
        return loss.detach()

    del made["loss"]
    return {**made, "step": step, "extra": lambda: dict(teacher.named_parameters())}


@MODELS.model("momentum encoders")
def averaged_model() -> Made:
    """torch's own moving average, updated in the step; it counts in a buffer."""
    made = classified(dense(12, 16, CLASSES), 6, 12)
    average = torch.optim.swa_utils.AveragedModel(
        made["model"], multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )

    def step(model: nn.Module, optimizer: Optimizer, batch: Any) -> torch.Tensor:
        loss = usual(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)
        return loss.detach()

    del made["loss"]
    return {**made, "step": step, "extra": lambda: average.state_dict()}
