"""Models of plain torch by their loss: randomness, values that are looked at, weights made from other weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as fn
from torch.nn.utils import parametrizations

from tests.coverage.models.plain_parts import CLASSES, Mapped, classified, regressed
from tests.coverage.models.plain_small import dense, usual
from tests.coverage.registry import Made, Source

MODELS = Source("plain_losses")

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


@MODELS.model("generative")
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


@MODELS.model("generative")
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


@MODELS.model("losses")
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
