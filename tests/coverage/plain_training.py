"""Steps of plain torch as users write them: several optimizers, momentum encoders, clipping, scaling, random losses, checks."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as fn
from torch.nn.utils import parametrizations

from tests.coverage.plain_layers import CLASSES, Mapped, classified, regressed
from tests.coverage.registry import Made, Source

MODELS = Source("plain_training")
Optimizer = torch.optim.Optimizer


def dense(*widths: int) -> nn.Sequential:
    """Linear layers with GELU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def stepped(step: Callable[[nn.Module, Any, Any], torch.Tensor], **more: Any) -> Made:
    """A small classifier trained by the user's own step."""
    made = classified(dense(12, 32, CLASSES), 6, 12)
    del made["loss"]
    return {**made, "step": step, **more}


def usual(model: nn.Module, batch: Any) -> torch.Tensor:
    """Cross entropy of (inputs, targets)."""
    return fn.cross_entropy(model(batch[0]), batch[1])


# reparametrized and tied weights


@MODELS.model("parametrized")
def weight_norm() -> Made:
    return classified(
        nn.Sequential(parametrizations.weight_norm(nn.Linear(12, 16)), nn.ReLU(), nn.Linear(16, CLASSES)), 6, 12
    )


@MODELS.model("parametrized", ci=True)
def spectral_norm() -> Made:
    first = parametrizations.spectral_norm(nn.Conv2d(3, 8, 3))
    layers = (first, nn.LeakyReLU(0.2), nn.Flatten(), parametrizations.spectral_norm(nn.Linear(8 * 36, CLASSES)))
    return classified(nn.Sequential(*layers), 4, 3, 8, 8)


@MODELS.model("parametrized")
def orthogonal() -> Made:
    return classified(
        nn.Sequential(parametrizations.orthogonal(nn.Linear(12, 12)), nn.Tanh(), nn.Linear(12, CLASSES)), 6, 12
    )


@MODELS.model("parametrized")
def low_rank_adapters() -> Made:
    """Frozen weights, two small matrices that learn, and a scale in Python."""

    class Adapted(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.base = nn.Linear(inputs, outputs).requires_grad_(False)
            self.down = nn.Linear(inputs, 2, bias=False)
            self.up = nn.Linear(2, outputs, bias=False)
            self.scaling = 0.5

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.base(x) + self.up(self.down(x)) * self.scaling

    made = classified(nn.Sequential(Adapted(12, 32), nn.ReLU(), Adapted(32, CLASSES)), 6, 12)
    learning = [parameter for parameter in made["model"].parameters() if parameter.requires_grad]
    return {**made, "optimizer": torch.optim.AdamW(learning, lr=1e-2)}


# losses with randomness or values


@MODELS.model("generative", ci=True)
def variational_autoencoder() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        mean, log_variance = m.encoder(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        apart = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
        return fn.mse_loss(m.decoder(z), x, reduction="sum") / x.shape[0] + 0.1 * apart

    return regressed(Mapped(forward, encoder=dense(12, 16, 8), decoder=dense(4, 16, 12)), lambda: (torch.randn(6, 12),))


@MODELS.model("generative")
def vector_quantizer() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        z = m.encoder(x)
        nearest = torch.cdist(z, m.codes.weight).argmin(1)
        code = m.codes(nearest)
        through = z + (code - z).detach()
        return fn.mse_loss(m.decoder(through), x) + fn.mse_loss(code, z.detach()) + 0.25 * fn.mse_loss(z, code.detach())

    parts = {"encoder": dense(12, 16, 4), "codes": nn.Embedding(10, 4), "decoder": dense(4, 16, 12)}
    return regressed(Mapped(forward, **parts), lambda: (torch.randn(6, 12),))


@MODELS.model("generative", ci=True)
def diffusion_loss() -> Made:
    def loss(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
        when = torch.randint(0, 100, (images.shape[0],))
        noise = torch.randn_like(images)
        kept = torch.cos(when / 100 * 1.5).view(-1, 1, 1, 1)
        noisy = kept * images + (1 - kept.square()).sqrt() * noise
        return fn.mse_loss(model(torch.cat([noisy, kept.expand_as(noisy[:, :1])], 1)), noise)

    model = nn.Sequential(nn.Conv2d(4, 8, 3, 1, 1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 3, 3, 1, 1))
    return {"model": model, "batches": [torch.randn(3, 3, 8, 8) for _ in range(2)], "loss": loss}


@MODELS.model("generative")
def normalizing_flow() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        volume = x.new_zeros(x.shape[0])
        for coupling in m.couplings:
            left, right = x.chunk(2, 1)
            scale, shift = coupling(left).chunk(2, 1)
            x = torch.cat([right * scale.tanh().exp() + shift, left], 1)
            volume = volume + scale.tanh().sum(1)
        prior = torch.distributions.Normal(0.0, 1.0, validate_args=False)
        return (-(prior.log_prob(x).sum(1) + volume)).mean().square()

    couplings = nn.ModuleList(dense(4, 16, 8) for _ in range(3))
    return regressed(Mapped(forward, couplings=couplings), lambda: (torch.randn(6, 8),))


@MODELS.model("distributions", ci=True)
def distributions_with_validation() -> Made:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        mean, scale = model(batch).chunk(2, 1)
        normal = torch.distributions.Normal(mean, fn.softplus(scale) + 0.1)
        other = torch.distributions.Laplace(torch.zeros_like(mean), torch.ones_like(scale))
        return -normal.log_prob(batch[:, :4]).mean() + normal.entropy().mean() + other.log_prob(normal.rsample()).mean()

    return {"model": dense(12, 16, 8), "batches": [torch.randn(6, 12) for _ in range(2)], "loss": loss}


@MODELS.model("distributions")
def policy_gradient() -> Made:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        policy = torch.distributions.Categorical(logits=model(batch))
        action = policy.sample()
        return -(policy.log_prob(action) * torch.sin(action.float())).mean() - 0.01 * policy.entropy().mean()

    return {"model": dense(12, 16, CLASSES), "batches": [torch.randn(6, 12) for _ in range(2)], "loss": loss}


@MODELS.model("distributions")
def gumbel_softmax() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        hard = fn.gumbel_softmax(m.first(x), tau=0.7, hard=True)
        return m.last(hard) + m.last(fn.gumbel_softmax(m.first(x), tau=0.7))

    return regressed(Mapped(forward, first=nn.Linear(12, 6), last=nn.Linear(6, 4)), lambda: (torch.randn(6, 12),))


@MODELS.model("losses", ci=True)
def contrastive_pairs() -> Made:
    """SimCLR's loss over two noisy views, as CLIP has it with a learned temperature."""

    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        one, two = (fn.normalize(m.body(x + 0.1 * torch.randn_like(x)), dim=1) for _ in range(2))
        scores = m.temperature.exp() * one @ two.T
        targets = torch.arange(x.shape[0])
        return fn.cross_entropy(scores, targets) + fn.cross_entropy(scores.T, targets)

    model = Mapped(forward, body=dense(12, 16, 8), temperature=nn.Parameter(torch.tensor(1.0)))
    return regressed(model, lambda: (torch.randn(6, 12),))


@MODELS.model("losses", ci=True)
def ctc_loss() -> Made:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        sound, targets = batch
        scores = model(sound).log_softmax(-1).transpose(0, 1)
        return fn.ctc_loss(scores, targets, torch.full((3,), 12), torch.full((3,), 4), zero_infinity=True)

    batches = [(torch.randn(3, 12, 8), torch.randint(1, 7, (3, 4))) for _ in range(2)]
    return {"model": dense(8, 16, 7), "batches": batches, "loss": loss}


@MODELS.model("losses")
def many_losses() -> Made:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        inputs, targets = batch
        scores = model(inputs)
        hot = fn.one_hot(targets, CLASSES).float()
        signs = hot * 2 - 1
        found = fn.cross_entropy(scores, targets, label_smoothing=0.1, weight=torch.linspace(0.5, 1.5, CLASSES))
        found = (
            found
            + fn.binary_cross_entropy_with_logits(scores, hot)
            + fn.huber_loss(scores, hot)
            + fn.l1_loss(scores, hot)
        )
        found = (
            found
            + fn.smooth_l1_loss(scores, hot)
            + fn.kl_div(scores.log_softmax(1), hot.softmax(1), reduction="batchmean")
        )
        found = found + fn.multi_margin_loss(scores, targets) + fn.soft_margin_loss(scores, signs)
        found = found + fn.multilabel_soft_margin_loss(scores, hot) + fn.poisson_nll_loss(scores, hot)
        found = found + fn.gaussian_nll_loss(scores, hot, torch.ones_like(hot)) + fn.hinge_embedding_loss(scores, signs)
        return (
            found
            + fn.cosine_embedding_loss(scores, hot, torch.ones(6))
            + fn.triplet_margin_loss(scores, hot, scores.flip(0))
        )

    return {**classified(dense(12, 16, CLASSES), 6, 12), "loss": loss}


@MODELS.model("losses", ci=True)
def labels_in_range() -> Made:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        inputs, targets = batch
        if targets.max() >= CLASSES:
            raise ValueError(f"a label is {int(targets.max())}, there are {CLASSES} classes")
        return usual(model, (inputs, targets))

    return {**classified(dense(12, 16, CLASSES), 6, 12), "loss": loss}


@MODELS.model("losses")
def gradient_penalty() -> Made:
    """Gradients of gradients, as WGAN-GP has them."""

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        x = (batch + torch.rand(batch.shape[0], 1) * 0.1).requires_grad_(True)
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return (slope.norm(2, dim=1) - 1).square().mean() + model(batch).mean()

    return {"model": dense(12, 16, 1), "batches": [torch.randn(6, 12) for _ in range(2)], "loss": loss}


# depth that varies


@MODELS.model("random depth", ci=True)
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
        told = teacher(batch[0]).softmax(1)
        loss = fn.cross_entropy(scores, batch[1]) + fn.kl_div(scores.log_softmax(1), told, reduction="batchmean")
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
