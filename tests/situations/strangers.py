"""Training steps as strangers' repositories have them: each function makes one situation."""

from __future__ import annotations

import collections
import copy
import math
import random
from typing import Any

import numpy
import torch
from torch import nn
from torch.nn.utils import parametrizations

from tests.situations.judge import Situation
from tests.situations.models import adamw, data, inputs, mlp, sgd

fn = nn.functional


def finish(optimizer: Any, loss: torch.Tensor) -> torch.Tensor:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Residual(nn.Module):
    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.GroupNorm(4, width), nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(time, width)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return x + self.conv(fn.silu(self.norm(x + self.time(t)[:, :, None, None])))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.down = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 4, 2, 1)
        self.first, self.middle, self.last = Residual(8, 16), Residual(16, 16), Residual(8, 16)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        frequencies = torch.exp(-math.log(1e4) * torch.arange(8, device=x.device) / 8)
        angles = t[:, None].float() * frequencies
        t = torch.cat([angles.sin(), angles.cos()], -1)
        high = self.first(self.enter(x), t)
        return self.out(self.last(self.up(self.middle(self.down(high), t)) + high, t))


def diffusion() -> Situation:
    """Two micro-batches under autocast, RAdam with two groups of a list made outside, clipping, a dict of means."""
    model = UNet()
    named = list(model.named_parameters())
    decayed, rest = [p for _, p in named if p.ndim > 1], [p for _, p in named if p.ndim <= 1]
    optimizer = torch.optim.RAdam(
        [{"params": decayed, "weight_decay": 1e-2}, {"params": rest, "lr": 2e-3, "weight_decay": 0.0}], lr=1e-3
    )
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 50), 0)
    means = {name: p.detach().clone() for name, p in named}

    def step(model: nn.Module, optimizer: Any, batch: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(())
        for part in batch.chunk(2):
            t = torch.randint(0, 50, (part.shape[0],))
            noise = torch.randn_like(part)
            a = alphas[t][:, None, None, None]
            noisy = a.sqrt() * part + (1 - a).sqrt() * noise
            with torch.autocast("cpu", torch.bfloat16):
                loss = fn.mse_loss(model(noisy, t).float(), noise) / 2
            loss.backward()
            total = total + loss.detach()
        nn.utils.clip_grad_norm_(decayed + rest, 1.0)
        optimizer.step()
        with torch.no_grad():
            for name, p in model.named_parameters():
                means[name].mul_(0.99).add_(p, alpha=0.01)
        return total

    return Situation(model, optimizer, inputs(3, (4, 1, 8, 8)), step=step, others={"means": means})


class ActorCritic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 16), nn.Tanh())
        self.pi, self.v = nn.Linear(16, 4), nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.distributions.Categorical, torch.Tensor]:
        h = self.body(x)
        return torch.distributions.Categorical(logits=self.pi(h)), self.v(h).squeeze(-1)


def ppo() -> Situation:
    """Several epochs over one rollout in minibatches, the rate annealed, an early stop by the divergence."""
    model = ActorCritic()
    g = generator()
    rollout = {
        "states": torch.randn(32, 12, generator=g), "actions": torch.randint(0, 4, (32,), generator=g),
        "logp": -torch.rand(32, generator=g) - 1, "returns": torch.randn(32, generator=g),
        "advantages": torch.randn(32, generator=g), "values": torch.randn(32, generator=g),
    }  # fmt: skip

    class Learner:
        def __init__(self) -> None:
            self.updates, self.kls, self.stopped = 0, list[float](), 0

        def __call__(self, model: nn.Module, optimizer: Any, rollout: dict[str, torch.Tensor]) -> dict[str, Any]:
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * (1 - self.updates / 100)
            for _ in range(2):
                for index in torch.randperm(32).split(16):
                    b = {key: value[index] for key, value in rollout.items()}
                    policy, value = model(b["states"])
                    ratio = (policy.log_prob(b["actions"]) - b["logp"]).exp()
                    advantage = (b["advantages"] - b["advantages"].mean()) / (b["advantages"].std() + 1e-8)
                    surrogate = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
                    clipped = b["values"] + (value - b["values"]).clamp(-0.2, 0.2)
                    fit = torch.max((value - b["returns"]) ** 2, (clipped - b["returns"]) ** 2).mean()
                    loss = surrogate + 0.5 * fit - 0.01 * policy.entropy().mean()
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                    optimizer.step()
                    self.updates += 1
                kl = (b["logp"] - policy.log_prob(b["actions"])).mean().item()
                self.kls.append(kl)
                if kl > 1.5:
                    self.stopped += 1
                    break
            return {"loss": loss.detach(), "kl": kl}

    return Situation(model, torch.optim.Adam(model.parameters(), lr=3e-3, eps=1e-5), [rollout], step=Learner())


class MaskedAutoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Linear(4, 16), nn.Linear(16, 4)
        self.mask, self.place = nn.Parameter(torch.zeros(1, 1, 16)), nn.Parameter(torch.randn(1, 16, 16) * 0.02)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0, norm_first=True)
        self.decoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        n, length, _ = images.shape
        x = self.embed(images) + self.place
        noise = torch.rand(n, length, device=x.device)
        shuffled = torch.argsort(noise, dim=1)
        back = torch.argsort(shuffled, dim=1)
        kept = shuffled[:, : length // 4]
        x = self.encoder(torch.gather(x, 1, kept.unsqueeze(-1).repeat(1, 1, x.shape[-1])))
        mask = torch.ones(n, length, device=x.device)
        mask[:, : length // 4] = 0
        mask = torch.gather(mask, 1, back)
        x = torch.cat([x, self.mask.repeat(n, length - x.shape[1], 1)], 1)
        x = torch.gather(x, 1, back.unsqueeze(-1).repeat(1, 1, x.shape[-1])) + self.place
        target = (images - images.mean(-1, keepdim=True)) / (images.var(-1, keepdim=True) + 1e-6) ** 0.5
        return (((self.out(self.decoder(x)) - target) ** 2).mean(-1) * mask).sum() / mask.sum()


def masked_autoencoder() -> Situation:
    model = MaskedAutoencoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=40)

    def step(model: nn.Module, optimizer: Any, batch: torch.Tensor) -> float:
        loss = model(batch)
        finish(optimizer, loss)
        scheduler.step()
        return loss.item()

    return Situation(model, optimizer, inputs(4, (3, 16, 4)), step=step, others={"scheduler": scheduler})


class GraphAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.score, self.out = nn.Linear(12, 16), nn.Linear(32, 1), nn.Linear(16, 4)
        self.norm = nn.LayerNorm(16)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        h = self.enter(x)
        source, target = edges
        e = fn.leaky_relu(self.score(torch.cat([h[source], h[target]], -1))).squeeze(-1)
        top = torch.full((x.shape[0],), -1e9).scatter_reduce(0, target, e, "amax")
        e = (e - top[target]).exp()
        total = torch.zeros(x.shape[0]).index_add(0, target, e)
        weights = e / (total[target] + 1e-9)
        gathered = torch.zeros_like(h).scatter_add(0, target[:, None].expand(-1, 16), weights[:, None] * h[source])
        degree = torch.bincount(target, minlength=x.shape[0]).clamp(min=1).float()
        return self.out(fn.dropout(self.norm(gathered / degree[:, None].sqrt() + h).relu(), 0.1, self.training))


def graph_attention() -> Situation:
    """Loss on the training nodes alone, by a mask; two sizes of graphs."""
    g = generator()
    batches = []
    for nodes, count in ((10, 30), (10, 30), (14, 40)):
        mask = torch.zeros(nodes, dtype=torch.bool)
        mask[: nodes // 2] = True
        edges = torch.randint(0, nodes, (2, count), generator=g)
        labels = torch.randint(0, 4, (nodes,), generator=g)
        batches.append({"x": torch.randn(nodes, 12, generator=g), "edges": edges, "y": labels, "mask": mask})

    def loss(model: nn.Module, b: dict[str, torch.Tensor]) -> torch.Tensor:
        out = model(b["x"], b["edges"])
        return fn.cross_entropy(out[b["mask"]], b["y"][b["mask"]])

    model = GraphAttention()
    return Situation(model, adamw(model), batches, loss)


class Low(nn.Module):
    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, base.in_features) * 0.1)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.dropout = nn.Dropout(0.1)
        self.scaling = 8 / rank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + (self.dropout(x) @ self.a.t() @ self.b.t()) * self.scaling


def low_rank() -> Situation:
    """LoRA: the base frozen and in bfloat16, its adapters float32, rates of A and B apart (LoRA+)."""
    model = mlp()
    model[0], model[2] = Low(model[0]), Low(model[2])  # type: ignore[arg-type]
    a, b = ([p for n, p in model.named_parameters() if n.endswith(x)] for x in (".a", ".b"))
    optimizer = torch.optim.AdamW([{"params": a}, {"params": b, "lr": 1e-2}], lr=1e-3, weight_decay=0.0)
    return Situation(model, optimizer, data(), nn.CrossEntropyLoss())


def gradient_penalty() -> Situation:
    """A critic stepped each time, its generator each third time."""
    model = nn.ModuleDict({"g": mlp(16, 12), "d": mlp(16, 1)})
    opt_g = torch.optim.Adam(model["g"].parameters(), lr=1e-3, betas=(0.0, 0.9))
    opt_d = torch.optim.Adam(model["d"].parameters(), lr=1e-3, betas=(0.0, 0.9))
    seen = {"n": 0}

    def step(model: Any, optimizers: Any, real: torch.Tensor) -> tuple[torch.Tensor, Any]:
        opt_g, opt_d = optimizers
        fake = model["g"](torch.randn(real.shape[0], 12)).detach()
        eps = torch.rand(real.shape[0], 1)
        between = (eps * real + (1 - eps) * fake).requires_grad_(True)
        out = model["d"](between)
        (g,) = torch.autograd.grad(out, between, torch.ones_like(out), create_graph=True)
        penalty = 10 * ((g.norm(2, dim=1) - 1) ** 2).mean()
        d_loss = model["d"](fake).mean() - model["d"](real).mean() + penalty
        opt_d.zero_grad()
        d_loss.backward()
        opt_d.step()
        seen["n"] += 1
        if seen["n"] % 3 == 0:
            opt_g.zero_grad()
            g_loss = -model["d"](model["g"](torch.randn(real.shape[0], 12))).mean()
            g_loss.backward()
            opt_g.step()
            return d_loss.detach(), g_loss.detach()
        return d_loss.detach(), None

    return Situation(model, (opt_g, opt_d), inputs(), step=step, others={"seen": seen})


class ScheduleFree(torch.optim.Optimizer):
    """AdamW without a schedule, as its authors write it: p is y, the state holds z."""

    def __init__(self, params: Any, lr: float = 1e-2, warmup: int = 4) -> None:
        defaults = {
            "lr": lr, "beta": 0.9, "beta2": 0.99, "k": 0, "warmup": warmup, "train_mode": True, "weight_sum": 0.0,
            "lr_max": -1.0,
        }  # fmt: skip
        super().__init__(params, defaults)

    @torch.no_grad()
    def eval(self) -> None:
        for group in self.param_groups:
            if group["train_mode"]:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        p.lerp_(end=self.state[p]["z"], weight=1 - 1 / group["beta"])
            group["train_mode"] = False

    @torch.no_grad()
    def train(self) -> None:
        for group in self.param_groups:
            if not group["train_mode"]:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        p.lerp_(end=self.state[p]["z"], weight=1 - group["beta"])
            group["train_mode"] = True

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if not self.param_groups[0]["train_mode"]:
            raise RuntimeError("call train() first")
        for group in self.param_groups:
            k = group["k"]
            schedule = (k + 1) / group["warmup"] if k < group["warmup"] else 1.0
            lr = group["lr"] * schedule * math.sqrt(1 - group["beta2"] ** (k + 1))
            lr_max = group["lr_max"] = max(lr, group["lr_max"])
            weight = lr_max**2
            weight_sum = group["weight_sum"] = group["weight_sum"] + weight
            ckp1 = weight / weight_sum if weight_sum else 0
            active = [p for p in group["params"] if p.grad is not None]
            for p in active:
                if "z" not in self.state[p]:
                    self.state[p]["z"] = torch.clone(p)
                    self.state[p]["exp_avg_sq"] = torch.zeros_like(p)
            y, z = active, [self.state[p]["z"] for p in active]
            grad, square = [p.grad for p in active], [self.state[p]["exp_avg_sq"] for p in active]
            torch._foreach_mul_(square, group["beta2"])
            torch._foreach_addcmul_(square, grad, grad, value=1 - group["beta2"])
            denominator = torch._foreach_sqrt(square)
            torch._foreach_add_(denominator, 1e-8)
            torch._foreach_div_(grad, denominator)
            torch._foreach_lerp_(y, z, weight=ckp1)
            torch._foreach_add_(y, grad, alpha=lr * (group["beta"] * (1 - ckp1) - 1))
            torch._foreach_sub_(z, grad, alpha=lr)
            group["k"] = k + 1


def schedule_free() -> Situation:
    """In evaluation between the steps."""
    model = mlp()
    return Situation(model, ScheduleFree(model.parameters()), data(), nn.CrossEntropyLoss())


def evaluated(made: Situation, _: int) -> None:
    made.optimizer.eval()
    made.model.eval()
    with torch.no_grad():
        made.model(made.batch(0)[0])
    made.model.train()
    made.optimizer.train()


def newton_schulz(g: torch.Tensor) -> torch.Tensor:
    a, b, c = (3.4445, -4.7750, 2.0315)
    x = g.bfloat16()
    if g.size(-2) > g.size(-1):
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return x.mT if g.size(-2) > g.size(-1) else x


class Muon(torch.optim.Optimizer):
    """Muon with its helper Adam in one optimizer, as in repositories that race GPT-2."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
                state = self.state[p]
                if group["use_muon"]:
                    if len(state) == 0:
                        state["momentum_buffer"] = torch.zeros_like(p)
                    state["momentum_buffer"].lerp_(p.grad, 0.05)
                    update = newton_schulz(p.grad.lerp_(state["momentum_buffer"], 0.95))
                    update = update * max(1, p.size(-2) / p.size(-1)) ** 0.5
                    p.mul_(1 - group["lr"] * 0.01)
                    p.add_(update.reshape(p.shape), alpha=-group["lr"])
                else:
                    if len(state) == 0:
                        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
                        state["step"] = 0
                    state["step"] += 1
                    state["exp_avg"].lerp_(p.grad, 0.1)
                    state["exp_avg_sq"].lerp_(p.grad.square(), 0.05)
                    m, v = (
                        state["exp_avg"] / (1 - 0.9 ** state["step"]),
                        state["exp_avg_sq"] / (1 - 0.95 ** state["step"]),
                    )
                    p.add_(m / (v.sqrt() + 1e-10), alpha=-group["lr"])


def muon() -> Situation:
    model = mlp()
    two, one = [p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": two, "use_muon": True, "lr": 0.02}, {"params": one, "use_muon": False, "lr": 3e-3}]
    return Situation(model, Muon(groups, {}), data(), nn.CrossEntropyLoss())


def private() -> Situation:
    """Gradients of each sample by vmap, clipped, with noise (DP-SGD)."""
    model = mlp()

    def one(parameters: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return fn.cross_entropy(torch.func.functional_call(model, parameters, (x[None],)), y[None])

    each = torch.func.vmap(torch.func.grad_and_value(one), in_dims=(None, 0, 0))

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        parameters = {name: p.detach() for name, p in model.named_parameters()}
        gradients, losses = each(parameters, *batch)
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()], 1).norm(dim=1)
        factors = (1.0 / (norms + 1e-6)).clamp(max=1.0)
        for name, p in model.named_parameters():
            p.grad = torch.einsum("i,i...", factors, gradients[name]) / len(losses)
            p.grad += torch.randn_like(p) * 0.01
        optimizer.step()
        optimizer.zero_grad()
        return losses.mean()

    return Situation(model, sgd(model), data(), step=step)


def meta_learning() -> Situation:
    """MAML: two inner steps with gradients of gradients, several tasks."""
    model = mlp(8)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> float:
        x, y = batch
        optimizer.zero_grad()
        total = 0.0
        for task in range(2):
            fast = dict(model.named_parameters())
            half = slice(task * 4, task * 4 + 2), slice(task * 4 + 2, task * 4 + 4)
            for _ in range(2):
                loss = fn.cross_entropy(torch.func.functional_call(model, fast, (x[half[0]],)), y[half[0]])
                gradients = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
                fast = {name: p - 0.1 * g for (name, p), g in zip(fast.items(), gradients, strict=True)}
            outer = fn.cross_entropy(torch.func.functional_call(model, fast, (x[half[1]],)), y[half[1]]) / 2
            outer.backward()
            total += outer.item()
        optimizer.step()
        return total

    return Situation(model, torch.optim.Adam(model.parameters(), lr=1e-2), data(), step=step)


def normed() -> Situation:
    """Weight norm, spectral norm, orthogonal: parametrizations."""
    model = nn.Sequential(
        parametrizations.weight_norm(nn.Linear(12, 16)), nn.ReLU(),
        parametrizations.spectral_norm(nn.Linear(16, 16)), nn.ReLU(),
        parametrizations.orthogonal(nn.Linear(16, 16)), nn.ReLU(), nn.Linear(16, 4),
    )  # fmt: skip
    return Situation(model, adamw(model), data(), nn.CrossEntropyLoss())


def normed_by_hooks() -> Situation:
    model = nn.Sequential(
        nn.utils.weight_norm(nn.Linear(12, 16)), nn.ReLU(), nn.utils.spectral_norm(nn.Linear(16, 16)), nn.Linear(16, 4)
    )
    return Situation(model, adamw(model), data(), nn.CrossEntropyLoss())


def features_by_hooks() -> Situation:
    """Distillation of a teacher's features that forward hooks put into dicts."""
    model, teacher = mlp(), mlp().eval().requires_grad_(False)
    mine, theirs = dict[str, torch.Tensor](), dict[str, torch.Tensor]()

    def into(kept: dict[str, torch.Tensor], name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: torch.Tensor) -> None:
            kept[name] = output

        return hook

    for name in ("0", "1"):
        model.get_submodule(name).register_forward_hook(into(mine, name))
        teacher.get_submodule(name).register_forward_hook(into(theirs, name))

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        out = model(batch[0])
        with torch.no_grad():
            wanted = teacher(batch[0])
        soft = fn.kl_div(fn.log_softmax(out / 2, -1), fn.softmax(wanted / 2, -1), reduction="batchmean") * 4
        loss = fn.cross_entropy(out, batch[1]) + soft + sum(fn.mse_loss(mine[n], theirs[n]) for n in mine)
        finish(optimizer, loss)
        mine.clear()
        theirs.clear()
        return loss.detach()

    return Situation(model, adamw(model), data(), step=step, others={"teacher": teacher})


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(20, 8, padding_idx=0), nn.LSTM(8, 8, batch_first=True, bidirectional=True)
        self.out = nn.Linear(16, 4)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(self.embed(tokens), lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.rnn(packed)
        return self.out(torch.cat([h[0], h[1]], -1))


def packed() -> Situation:
    g = generator()
    batches = []
    for lengths in ([5, 3, 2], [5, 3, 2], [4, 4, 1]):
        tokens = torch.zeros(3, max(lengths), dtype=torch.long)
        for i, n in enumerate(lengths):
            tokens[i, :n] = torch.randint(1, 20, (n,), generator=g)
        batches.append((tokens, torch.tensor(lengths), torch.randint(0, 4, (3,), generator=g)))
    model = Packed()
    return Situation(model, adamw(model), batches, lambda model, b: fn.cross_entropy(model(b[0], b[1]), b[2]))


def connectionist() -> Situation:
    """CTC with lengths in lists."""
    model = nn.GRU(6, 5)
    g = generator()
    batches = [
        (torch.randn(9, 3, 6, generator=g), torch.randint(1, 5, (3, 3), generator=g), [9, 8, 7], [3, 2, 3])
        for _ in range(3)
    ]

    def loss(model: nn.Module, b: Any) -> torch.Tensor:
        return fn.ctc_loss(model(b[0])[0].log_softmax(-1), b[1], tuple(b[2]), tuple(b[3]), zero_infinity=True)

    return Situation(model, adamw(model), batches, loss)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.score, self.box = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1), nn.Conv2d(8, 4, 1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.body(images).relu()
        return self.score(h).flatten(2).transpose(1, 2), self.box(h).flatten(2).transpose(1, 2)


def detection() -> Situation:
    """Another number of boxes in each image; positives by a mask, hard negatives by topk."""
    g = generator()
    batches = []
    for i in range(4):
        boxes = [torch.rand(1 + (i + k) % 3, 4, generator=g) for k in range(2)]
        batches.append((torch.randn(2, 3, 4, 4, generator=g), [{"boxes": b} for b in boxes]))

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        scores, boxes = model(batch[0])
        total = scores.sum() * 0
        for score, box, target in zip(scores, boxes, batch[1], strict=True):
            distance = torch.cdist(box.detach(), target["boxes"], p=1)
            nearest, index = distance.min(1)
            positive = nearest < nearest.median()
            total = total + fn.smooth_l1_loss(box[positive], target["boxes"][index[positive]])
            each = fn.cross_entropy(score, positive.long(), reduction="none")
            count = int(positive.sum())
            negative = each.masked_fill(positive, 0).topk(min(2 * count, 8)).values
            total = total + (each[positive].sum() + negative.sum()) / max(count, 1)
        return total

    model = Detector()
    return Situation(model, adamw(model), batches, loss)


class Quantizer(nn.Module):
    codes: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.out = nn.Linear(12, 6), nn.Linear(6, 12)
        self.register_buffer("codes", torch.randn(8, 6))
        self.register_buffer("count", torch.zeros(8))
        self.register_buffer("mean", self.codes.clone())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        h = self.enter(x)
        index = torch.cdist(h, self.codes).argmin(1)
        hot = fn.one_hot(index, 8).type(h.dtype)
        if self.training:
            with torch.no_grad():
                self.count.data.mul_(0.9).add_(hot.sum(0), alpha=0.1)
                self.mean.data.mul_(0.9).add_(hot.t() @ h.detach(), alpha=0.1)
                n = self.count.sum()
                smoothed = (self.count + 1e-5) / (n + 8e-5) * n
                self.codes.data.copy_(self.mean / smoothed[:, None])
        quantized = fn.embedding(index, self.codes)
        commitment = fn.mse_loss(h, quantized.detach())
        quantized = h + (quantized - h).detach()
        used = hot.mean(0)
        return self.out(quantized), commitment, (-(used * (used + 1e-10).log()).sum()).exp()


def vector_quantized() -> Situation:
    model = Quantizer()

    def step(model: nn.Module, optimizer: Any, x: torch.Tensor) -> dict[str, Any]:
        out, commitment, perplexity = model(x)
        loss = fn.mse_loss(out, x) + 0.25 * commitment
        finish(optimizer, loss)
        return {"loss": loss.item(), "perplexity": perplexity.item()}

    return Situation(model, adamw(model), inputs(), step=step)


def variational() -> Situation:
    """The weight of the divergence warms up, an attribute of the model."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.out, self.beta = mlp(16, 8), mlp(16, 12), 0.0
            self.out[0] = nn.Linear(4, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mean, log_var = self.enter(x).chunk(2, -1)
            q = torch.distributions.Normal(mean, (0.5 * log_var).exp())
            kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1).mean()
            return fn.mse_loss(self.out(q.rsample()), x) + self.beta * kl

    def step(model: Any, optimizer: Any, x: torch.Tensor) -> torch.Tensor:
        model.beta = min(1.0, model.beta + 0.25)
        return finish(optimizer, model(x))

    model = Model()
    return Situation(model, adamw(model), inputs(), step=step)


def self_distilled() -> Situation:
    """DINO: a teacher that follows, a centre, a temperature and a momentum by schedules, gradients of the last layer
    dropped at first."""
    student = nn.Sequential(mlp(16, 8), parametrizations.weight_norm(nn.Linear(8, 6, bias=False)))
    teacher = copy.deepcopy(student).requires_grad_(False)

    class Criterion(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("center", torch.zeros(1, 6))
            self.temperatures = numpy.concatenate((numpy.linspace(0.04, 0.07, 3), numpy.ones(20) * 0.07))

        def forward(self, s: torch.Tensor, t: torch.Tensor, epoch: int) -> torch.Tensor:
            out = fn.softmax((t - self.center) / self.temperatures[epoch], -1).detach()
            loss = torch.sum(-out * fn.log_softmax(s / 0.1, -1), -1).mean()
            self.center = self.center * 0.9 + t.mean(0, keepdim=True) * 0.1
            return loss

    criterion = Criterion()
    momentum = numpy.linspace(0.99, 1.0, 30)
    at = {"it": 0}

    def step(model: nn.Module, optimizer: Any, x: torch.Tensor) -> torch.Tensor:
        it = at["it"]
        epoch = it // 2
        for i, group in enumerate(optimizer.param_groups):
            group["lr"] = 1e-3 * (1 + math.cos(math.pi * it / 30))
            if i == 0:
                group["weight_decay"] = 0.04 + 0.001 * it
        loss = criterion(model(x + 0.1 * torch.randn_like(x)), teacher(x), epoch)
        optimizer.zero_grad()
        loss.backward()
        for p in model.parameters():
            if p.grad is not None:
                norm = p.grad.data.norm(2)
                coefficient = 3.0 / (norm + 1e-6)
                if coefficient < 1:
                    p.grad.data.mul_(coefficient)
        if epoch < 1:
            for name, p in model.named_parameters():
                if name.startswith("1."):
                    p.grad = None
        optimizer.step()
        with torch.no_grad():
            m = momentum[it]
            for q, k in zip(model.parameters(), teacher.parameters(), strict=True):
                k.data.mul_(m).add_((1 - m) * q.detach().data)
        at["it"] += 1
        return loss.detach()

    return Situation(
        student, torch.optim.AdamW(student.parameters()), inputs(), step=step,
        others={"teacher": teacher, "criterion": criterion, "at": at},
    )  # fmt: skip


def contrastive() -> Situation:
    """SimCLR's loss, with masks made in the step."""

    def loss(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        z = fn.normalize(
            torch.cat([model(x + 0.1 * torch.randn_like(x)), model(x * (torch.rand_like(x) > 0.2))]), dim=1
        )
        n = x.shape[0]
        labels = torch.cat([torch.arange(n) for _ in range(2)], 0)
        labels = (labels.unsqueeze(0) == labels.unsqueeze(1)).float()
        similar = z @ z.t()
        mask = torch.eye(2 * n, dtype=torch.bool)
        labels, similar = labels[~mask].view(2 * n, -1), similar[~mask].view(2 * n, -1)
        positives = similar[labels.bool()].view(2 * n, -1)
        negatives = similar[~labels.bool()].view(2 * n, -1)
        return fn.cross_entropy(torch.cat([positives, negatives], 1) / 0.5, torch.zeros(2 * n, dtype=torch.long))

    model = mlp()
    return Situation(model, adamw(model), inputs(), loss)


def mixed_up() -> Situation:
    """CutMix or mixup by NumPy's and Python's dice, accuracy counted."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    meter = {"right": 0, "all": 0, "losses": []}

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        x, y = batch
        lam = numpy.random.beta(1.0, 1.0)
        index = torch.randperm(x.size(0))
        if random.random() < 0.5:
            x = lam * x + (1 - lam) * x[index]
        else:
            x = x.clone()
            x[:, :, 1:3, 1:3] = x[index][:, :, 1:3, 1:3]
            lam = 1 - 4 / 64
        out = model(x)
        loss = lam * fn.cross_entropy(out, y, label_smoothing=0.1) + (1 - lam) * fn.cross_entropy(out, y[index])
        finish(optimizer, loss)
        meter["right"] += (out.argmax(1) == y).sum().item()
        meter["all"] += len(y)
        meter["losses"].append(round(loss.item(), 4))
        return loss.detach()

    g = generator()
    batches = [(torch.randn(4, 3, 8, 8, generator=g), torch.randint(0, 4, (4,), generator=g)) for _ in range(4)]
    return Situation(model, sgd(model), batches, step=step, others={"meter": meter})


def physics() -> Situation:
    """Second derivatives by the input, collocation points drawn in the step, a weight learned beside the network."""
    model = nn.Sequential(nn.Linear(2, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1))
    model.register_parameter("viscosity", nn.Parameter(torch.tensor(0.1)))

    def step(model: Any, optimizer: Any, batch: Any) -> torch.Tensor:
        x = torch.rand(10, 2, requires_grad=True)
        u = model(x)
        d = torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True, retain_graph=True)[0]
        dd = torch.autograd.grad(d[:, 0], x, torch.ones_like(d[:, 0]), create_graph=True)[0][:, :1]
        residual = d[:, 1:] + u * d[:, :1] - model.viscosity * dd
        loss = residual.pow(2).mean() + fn.mse_loss(model(batch[0]), batch[1])
        return finish(optimizer, loss)

    g = generator()
    batches = [(torch.rand(5, 2, generator=g), torch.randn(5, 1, generator=g))]
    return Situation(model, torch.optim.Adam(model.parameters(), lr=1e-2), batches, step=step)


def radiance() -> Situation:
    """NeRF: stratified and importance samples, cumulative products, chunks."""
    model = nn.Sequential(nn.Linear(15, 16), nn.ReLU(), nn.Linear(16, 4))

    def encode(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x] + [f(x * 2.0**k) for k in range(2) for f in (torch.sin, torch.cos)], -1)

    def render(
        model: nn.Module, o: torch.Tensor, d: torch.Tensor, z: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        points = o[:, None] + d[:, None] * z[..., None]
        flat = encode(points.reshape(-1, 3))
        raw = torch.cat([model(flat[i : i + 16]) for i in range(0, flat.shape[0], 16)], 0).reshape(*z.shape, 4)
        step = torch.cat([z[:, 1:] - z[:, :-1], torch.full_like(z[:, :1], 1e10)], -1)
        alpha = 1 - torch.exp(-fn.relu(raw[..., 3]) * step)
        through = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha + 1e-10], -1), -1)[:, :-1]
        weights = alpha * through
        return (weights[..., None] * raw[..., :3].sigmoid()).sum(1), weights

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        o, d, rgb = batch
        z = torch.linspace(0.1, 1.0, 8).expand(o.shape[0], 8)
        mids = 0.5 * (z[:, 1:] + z[:, :-1])
        upper, lower = torch.cat([mids, z[:, -1:]], -1), torch.cat([z[:, :1], mids], -1)
        z = lower + (upper - lower) * torch.rand(z.shape)
        coarse, weights = render(model, o, d, z)
        pdf = weights[:, 1:-1].detach() + 1e-5
        cdf = torch.cumsum(pdf / pdf.sum(-1, keepdim=True), -1)
        cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf], -1)
        index = torch.searchsorted(cdf.contiguous(), torch.rand(o.shape[0], 8), right=True).clamp(max=6)
        fine, _ = torch.sort(torch.cat([z, torch.gather(z, 1, index)], -1), -1)
        return fn.mse_loss(coarse, rgb) + fn.mse_loss(render(model, o, d, fine)[0], rgb)

    g = generator()
    batches = [tuple(torch.randn(4, 3, generator=g) for _ in range(3)) for _ in range(3)]
    return Situation(model, torch.optim.Adam(model.parameters(), lr=5e-3), batches, loss)


def deep_q() -> Situation:
    """Transitions drawn from a deque in the step; the target copied every fourth step."""
    model = mlp()
    target = copy.deepcopy(model)
    g = generator()
    memory: collections.deque[Any] = collections.deque(maxlen=50)
    for _ in range(40):
        s, n = torch.randn(2, 12, generator=g)
        memory.append((s, int(torch.randint(0, 4, (), generator=g)), random.random(), n, False))

    class Agent:
        steps_done, epsilon = 0, 1.0

        def __call__(self, model: nn.Module, optimizer: Any, batch: torch.Tensor) -> float:
            memory.append((batch[0], 1, 0.5, batch[1], True))
            self.epsilon = max(0.05, self.epsilon * 0.9)
            s, a, r, n, done = zip(*random.sample(memory, 8), strict=True)
            q = model(torch.stack(s)).gather(1, torch.tensor(a)[:, None]).squeeze(1)
            with torch.no_grad():
                best = target(torch.stack(n)).max(1).values
                wanted = torch.tensor(r) + 0.99 * best * (1 - torch.tensor(done, dtype=torch.float32))
            loss = fn.smooth_l1_loss(q, wanted)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 100)
            optimizer.step()
            self.steps_done += 1
            if self.steps_done % 4 == 0:
                target.load_state_dict(model.state_dict())
            return loss.item()

    return Situation(model, adamw(model, amsgrad=True), inputs(), step=Agent(), others={"target": target})


def clipped_weights() -> Situation:
    """Weights clamped after the step, an embedding with a maximal norm, a hook on a gradient."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rest = nn.Embedding(10, 12, max_norm=1.0), mlp()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.rest(self.embed(tokens).mean(1))

    model = Model()
    model.rest[0].weight.register_hook(lambda g: g.clamp(-0.01, 0.01))

    def step(model: Any, optimizer: Any, batch: Any) -> torch.Tensor:
        loss = finish(optimizer, fn.cross_entropy(model(batch[0]), batch[1]))
        for p in model.rest.parameters():
            p.data.clamp_(-0.2, 0.2)
        return loss

    g = generator()
    batches = [(torch.randint(0, 10, (6, 3), generator=g), torch.randint(0, 4, (6,), generator=g)) for _ in range(3)]
    return Situation(model, torch.optim.RMSprop(model.parameters(), lr=5e-3), batches, step=step)


def pruned() -> Situation:
    from torch.nn.utils import prune

    model = mlp()
    prune.l1_unstructured(model[0], "weight", 0.5)
    prune.random_unstructured(model[2], "bias", 0.5)
    return Situation(model, adamw(model), data(), nn.CrossEntropyLoss())


def projected() -> Situation:
    """PCGrad: two losses, gradients that conflict are projected, in an order drawn by Python."""
    model = mlp(16, 8)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        out = model(batch[0])
        losses = [fn.cross_entropy(out[:, :4], batch[1]), out[:, 4:].pow(2).mean()]
        each = []
        for loss in losses:
            optimizer.zero_grad(set_to_none=True)
            loss.backward(retain_graph=True)
            each.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        changed = [g.clone() for g in each]
        for g in changed:
            random.shuffle(each)
            for other in each:
                dot = torch.dot(g, other)
                if dot < 0:
                    g -= dot * other / other.norm() ** 2
        merged = torch.stack(changed).mean(0)
        at = 0
        for p in model.parameters():
            p.grad = merged[at : at + p.numel()].view_as(p).clone()
            at += p.numel()
        optimizer.step()
        return losses[0].detach() + losses[1].detach()

    return Situation(model, adamw(model), data(), step=step)


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, by: float) -> torch.Tensor:
        ctx.by = by
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return g.neg() * ctx.by, None


def adversarial_domains() -> Situation:
    """A gradient that is reversed, by a factor of the progress."""
    model = nn.ModuleDict({"body": mlp(16, 8), "label": nn.Linear(8, 4), "domain": nn.Linear(8, 2)})
    progress = {"i": 0}

    def step(model: Any, optimizer: Any, batch: Any) -> torch.Tensor:
        p = progress["i"] / 20
        by = 2.0 / (1.0 + numpy.exp(-10 * p)) - 1
        h = model["body"](batch[0])
        domains = torch.tensor([0, 1] * 4)
        loss = fn.cross_entropy(model["label"](h), batch[1])
        loss = loss + fn.cross_entropy(model["domain"](Reverse.apply(h, by)), domains)
        progress["i"] += 1
        return finish(optimizer, loss)

    return Situation(model, adamw(model), data(), step=step, others={"progress": progress})


def memory_bank() -> Situation:
    """Features written into a bank at the batch's indices; negatives drawn of it."""
    model = mlp(16, 8)
    bank = fn.normalize(torch.randn(30, 8, generator=generator()), dim=1)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        x, index = batch
        z = fn.normalize(model(x), dim=1)
        drawn = torch.randint(0, 30, (x.shape[0], 5))
        drawn[:, 0] = index
        scores = torch.bmm(bank[drawn], z[:, :, None]).squeeze(-1) / 0.07
        loss = finish(optimizer, fn.cross_entropy(scores, torch.zeros(x.shape[0], dtype=torch.long)))
        with torch.no_grad():
            old = bank.index_select(0, index)
            bank[index] = fn.normalize(old * 0.5 + z.detach() * 0.5, dim=1)
        return loss

    g = generator()
    batches = [(torch.randn(6, 12, generator=g), torch.randperm(30, generator=g)[:6]) for _ in range(4)]
    return Situation(model, sgd(model), batches, step=step, others={"bank": bank})


def experts() -> Situation:
    """A mixture of experts: the two best of each token, dispatched by where."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.experts = nn.Linear(12, 4, bias=False), nn.ModuleList(mlp(8, 12) for _ in range(4))
            self.out = nn.Linear(12, 4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            weights = self.gate(x).softmax(-1)
            best, chosen = weights.topk(2)
            best = best / best.sum(-1, keepdim=True)
            result = torch.zeros_like(x)
            for i, expert in enumerate(self.experts):
                rows, nth = torch.where(chosen == i)
                result.index_add_(0, rows, expert(x[rows]) * best[rows, nth, None])
            balance = 4 * (fn.one_hot(chosen, 4).float().sum(1).mean(0) * weights.mean(0)).sum()
            return self.out(x + result), balance

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        out, balance = model(batch[0])
        return fn.cross_entropy(out, batch[1]) + 0.01 * balance

    model = Model()
    return Situation(model, adamw(model), data(), loss)


def fourier() -> Situation:
    """Complex weights, transforms forth and back (FNO), and a spectral loss."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.out = nn.Linear(1, 6), nn.Linear(6, 1)
            self.weight = nn.Parameter(torch.randn(6, 6, 4, dtype=torch.cfloat) / 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.enter(x.unsqueeze(-1)).transpose(1, 2)
            f = torch.fft.rfft(h)
            out = torch.zeros(*f.shape, dtype=torch.cfloat)
            out[..., :4] = torch.einsum("bix,iox->box", f[..., :4], self.weight)
            return self.out(fn.gelu(torch.fft.irfft(out, n=h.shape[-1]) + h).transpose(1, 2)).squeeze(-1)

    def loss(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = model(x)
        one, two = (
            torch.stft(t, 8, 4, window=torch.hann_window(8), return_complex=True).abs() for t in (y, x.roll(1, -1))
        )
        return fn.l1_loss(one, two) + fn.mse_loss(y, x)

    model = Model()
    return Situation(model, torch.optim.Adam(model.parameters(), lr=1e-2), inputs(3, (4, 32)), loss)


def preference() -> Situation:
    """DPO: log probabilities of a policy against a frozen copy, prompt tokens masked."""

    class Lm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 16)
            self.block = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
            self.head = nn.Linear(16, 20, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
            return self.head(self.block(self.embed(tokens), src_mask=mask, is_causal=True))

    policy = Lm()
    reference = copy.deepcopy(policy).eval()

    def logp(model: nn.Module, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits, labels = model(tokens)[:, :-1], labels[:, 1:].clone()
        mask = labels != -100
        labels[labels == -100] = 0
        each = torch.gather(logits.log_softmax(-1), 2, labels.unsqueeze(2)).squeeze(2)
        return (each * mask).sum(-1)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> dict[str, float]:
        tokens, labels = batch
        chosen, rejected = logp(model, tokens, labels).chunk(2)
        with torch.no_grad():
            ref_chosen, ref_rejected = logp(reference, tokens, labels).chunk(2)
        logits = (chosen - rejected) - (ref_chosen - ref_rejected)
        loss = -fn.logsigmoid(0.1 * logits).mean()
        finish(optimizer, loss)
        return {"loss": loss.item(), "accuracy": (logits > 0).float().mean().item()}

    g = generator()
    batches = []
    for _ in range(3):
        tokens = torch.randint(0, 20, (4, 6), generator=g)
        labels = tokens.clone()
        labels[:, :2] = -100
        batches.append((tokens, labels))
    return Situation(policy, torch.optim.AdamW(policy.parameters(), lr=1e-3), batches, step=step)


def normalised_returns() -> Situation:
    """A running mean and deviation in NumPy, updated in the step, scale the loss."""
    model = mlp(16, 1)

    class Running:
        def __init__(self) -> None:
            self.mean, self.var, self.count = 0.0, 1.0, 1e-4

        def update(self, x: numpy.ndarray) -> None:
            mean, var, n = x.mean(), x.var(), x.size
            delta, total = mean - self.mean, self.count + n
            self.mean += delta * n / total
            self.var = (self.var * self.count + var * n + delta**2 * self.count * n / total) / total
            self.count = total

    running = Running()

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        returns = batch[1].float()
        running.update(returns.numpy())
        wanted = (returns - running.mean) / numpy.sqrt(running.var + 1e-8)
        return finish(optimizer, fn.mse_loss(model(batch[0]).squeeze(-1), wanted.float()))

    return Situation(model, adamw(model), data(), step=step, others={"running": running})


def layerwise() -> Situation:
    """LAMB with Python's branches on norms."""

    class Lamb(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if not state:
                        state["step"], state["m"], state["v"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                    state["step"] += 1
                    state["m"].mul_(0.9).add_(p.grad, alpha=0.1)
                    state["v"].mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                    update = state["m"] / state["v"].sqrt().add(1e-6)
                    if group["decay"] != 0:
                        update.add_(p, alpha=group["decay"])
                    weight_norm, update_norm = p.pow(2).sum().sqrt().clamp(0, 10), update.pow(2).sum().sqrt()
                    ratio = 1 if weight_norm == 0 or update_norm == 0 else weight_norm / update_norm
                    state["trust"] = ratio
                    p.add_(update, alpha=-group["lr"] * float(ratio))

    model = mlp()
    nn.init.zeros_(model[2].bias)
    return Situation(model, Lamb(model.parameters(), {"lr": 1e-2, "decay": 0.01}), data(), nn.CrossEntropyLoss())


def preconditioned() -> Situation:
    """Shampoo: roots of both sides, taken anew every third step."""

    class Shampoo(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for p in group["params"]:
                    state, g = self.state[p], p.grad
                    if not state:
                        state["step"] = 0
                        for i, n in enumerate(p.shape):
                            state[f"l{i}"], state[f"r{i}"] = 0.1 * torch.eye(n), torch.eye(n)
                    for i, n in enumerate(p.shape):
                        g = g.transpose(0, i).contiguous()
                        shape = g.shape
                        g = g.view(n, -1)
                        state[f"l{i}"].add_(g @ g.t())
                        if state["step"] % 3 == 0:
                            values, vectors = torch.linalg.eigh(state[f"l{i}"])
                            state[f"r{i}"].copy_(
                                vectors @ values.clamp(min=1e-6).pow(-1 / (2 * p.ndim)).diag() @ vectors.t()
                            )
                        g = (state[f"r{i}"] @ g).view(shape).transpose(0, i)
                    state["step"] += 1
                    p.add_(g, alpha=-group["lr"])

    model = mlp(8)
    return Situation(model, Shampoo(model.parameters(), {"lr": 1e-2}), data(), nn.CrossEntropyLoss())


def translation() -> Situation:
    """A decoder loop with teacher forcing by Python's dice."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.enter = nn.Embedding(12, 8), nn.GRU(8, 8, batch_first=True)
            self.cell, self.out = nn.GRUCell(8, 8), nn.Linear(8, 12)

        def forward(self, source: torch.Tensor, target: torch.Tensor, forced: float) -> torch.Tensor:
            _, h = self.enter(self.embed(source))
            h, word, found = h[0], target[:, 0], []
            for t in range(1, target.shape[1]):
                h = self.cell(self.embed(word), h)
                logits = self.out(h)
                found.append(logits)
                word = target[:, t] if random.random() < forced else logits.argmax(1)
            return torch.stack(found, 1)

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        out = model(*batch, 0.5)
        return fn.cross_entropy(out.reshape(-1, 12), batch[1][:, 1:].reshape(-1), ignore_index=0)

    g = generator()
    batches = [(torch.randint(0, 12, (3, 4), generator=g), torch.randint(0, 12, (3, 4), generator=g)) for _ in range(3)]
    model = Model()
    return Situation(model, adamw(model), batches, loss)


def equilibrium() -> Situation:
    """A fixed point by iteration until it is near enough."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.enter, self.out = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z, x = torch.zeros_like(x), self.enter(x)
            with torch.no_grad():
                for _ in range(30):
                    new = torch.tanh(self.cell(z) + x)
                    near = (new - z).norm() / (new.norm() + 1e-8)
                    z = new
                    if near.item() < 1e-2:
                        break
            return self.out(torch.tanh(self.cell(z) + x))

    model = Model()
    return Situation(model, sgd(model), data(), nn.CrossEntropyLoss())


def quantization_aware() -> Situation:
    """Weights rounded with a straight-through gradient, ranges of activations by a moving mean."""

    class Fake(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("low", torch.tensor(0.0))
            self.register_buffer("high", torch.tensor(0.0))
            self.register_buffer("begun", torch.tensor(0, dtype=torch.uint8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                low, high = torch.aminmax(x.detach())
                if self.begun[0] if self.begun.ndim else self.begun:
                    self.low.mul_(0.9).add_(0.1 * low)
                    self.high.mul_(0.9).add_(0.1 * high)
                else:
                    self.low.copy_(low)
                    self.high.copy_(high)
                    self.begun.fill_(1)
            scale = ((self.high - self.low) / 255).clamp(min=1e-8)
            zero = (-self.low / scale).round().clamp(0, 255).to(torch.int32)
            return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)

    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), Fake(), nn.Linear(16, 4), Fake())
    return Situation(model, sgd(model), data(), nn.CrossEntropyLoss())


def skip_gram() -> Situation:
    """Two embeddings, negatives by multinomial, a bag with offsets."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.word, self.context = nn.Embedding(30, 8), nn.Embedding(30, 8)
            self.bag = nn.EmbeddingBag(20, 8, mode="mean")
            self.register_buffer("frequency", torch.rand(30) ** 0.75)

        def forward(
            self, words: torch.Tensor, contexts: torch.Tensor, flat: torch.Tensor, offsets: torch.Tensor
        ) -> torch.Tensor:
            w = self.word(words) + self.bag(flat, offsets)
            drawn = torch.multinomial(self.frequency, words.shape[0] * 4, replacement=True).view(-1, 4)
            right = fn.logsigmoid((w * self.context(contexts)).sum(-1))
            wrong = fn.logsigmoid(-torch.bmm(self.context(drawn), w[:, :, None]).squeeze(-1)).sum(-1)
            return -(right + wrong).mean()

    g = generator()
    batches = [
        (*torch.randint(0, 30, (2, 6), generator=g), torch.randint(0, 20, (12,), generator=g), torch.arange(0, 12, 2))
        for _ in range(3)
    ]
    model = Model()
    return Situation(model, torch.optim.Adagrad(model.parameters(), lr=0.1), batches, lambda model, b: model(*b))


def averaged() -> Situation:
    """torch's own average from the fourth step on, a cyclic then a constant rate."""
    from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn

    model = nn.Sequential(mlp(), nn.BatchNorm1d(4))
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    cycle = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5)
    constant = SWALR(optimizer, swa_lr=0.05, anneal_epochs=3)
    at = {"step": 0}

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        loss = finish(optimizer, fn.cross_entropy(model(batch[0]), batch[1]))
        at["step"] += 1
        if at["step"] > 4:
            mean.update_parameters(model)
            constant.step()
        else:
            cycle.step(at["step"] / 2)
        return loss

    others = {"mean": mean, "cycle": cycle, "constant": constant, "at": at}
    return Situation(model, optimizer, data(), step=step, others=others)


def accumulated() -> Situation:
    """A step in every second call, the loss scaled, gradients' norms noted by layer, the best loss remembered."""
    model = mlp()

    class Loop:
        def __init__(self) -> None:
            self.i, self.best, self.patience, self.norms = 0, float("inf"), 0, dict[str, float]()

        def __call__(self, model: nn.Module, optimizer: Any, batch: Any) -> float:
            loss = fn.cross_entropy(model(batch[0]), batch[1]) / 2
            loss.backward()
            self.i += 1
            if self.i % 2 == 0:
                self.norms = {n: p.grad.norm().item() for n, p in model.named_parameters() if p.grad is not None}
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            value = loss.item()
            if value < self.best:
                self.best, self.patience = value, 0
            else:
                self.patience += 1
            return value

    loop = Loop()
    return Situation(model, adamw(model), data(), step=loop, others={"loop": loop})


def evolving() -> Situation:
    """Evolution strategies: weights as one vector, put back, no gradient."""
    from torch.nn.utils import parameters_to_vector, vector_to_parameters

    model = mlp(8)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        with torch.no_grad():
            here = parameters_to_vector(model.parameters()).clone()
            noise, scores = torch.randn(3, here.numel()), []
            for one in noise:
                vector_to_parameters(here + 0.1 * one, model.parameters())
                scores.append(fn.cross_entropy(model(batch[0]), batch[1]))
            score = torch.stack(scores)
            vector_to_parameters(here, model.parameters())
            at = 0
            for p in model.parameters():
                g = ((score - score.mean()) @ noise[:, at : at + p.numel()]) / 3
                p.grad = g.view_as(p)
                at += p.numel()
        optimizer.step()
        optimizer.zero_grad()
        return score.mean()

    return Situation(model, sgd(model), data(), step=step)


def uncertain() -> Situation:
    """Weights of two losses learned beside the model, in the same optimizer; deterministic dropout by a seed."""
    model = mlp(16, 8)
    log_vars = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.NAdam([{"params": model.parameters()}, {"params": [log_vars], "lr": 1e-2}], lr=1e-3)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        out = fn.dropout(model(batch[0]), 0.2)
        losses = torch.stack([fn.cross_entropy(out[:, :4], batch[1]), out[:, 4:].abs().mean()])
        return finish(optimizer, ((-log_vars).exp() * losses + log_vars).sum())

    return Situation(model, optimizer, data(), step=step, others={"log_vars": log_vars})


def centred() -> Situation:
    """Centre loss: an optimizer of its own over a module that is no part of the model; gradients scaled by hand."""
    model, centres = mlp(16, 6), nn.Embedding(4, 6)
    head = nn.Linear(6, 4)
    whole = nn.ModuleDict({"model": model, "head": head, "centres": centres})
    first = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=1e-3)
    second = torch.optim.SGD(centres.parameters(), lr=0.5)

    def step(whole: Any, optimizers: Any, batch: Any) -> torch.Tensor:
        h = whole["model"](batch[0])
        loss = (
            fn.cross_entropy(whole["head"](h), batch[1]) + 0.01 * (h - whole["centres"](batch[1])).pow(2).sum(1).mean()
        )
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for p in whole["centres"].parameters():
            p.grad.data *= 1.0 / 0.01
        for optimizer in optimizers:
            optimizer.step()
        return loss.detach()

    return Situation(whole, (first, second), data(), step=step)


ALL = [
    diffusion, ppo, masked_autoencoder, graph_attention, low_rank, gradient_penalty, schedule_free, muon, private,
    meta_learning, normed, normed_by_hooks, features_by_hooks, packed, connectionist, detection, vector_quantized,
    variational, self_distilled, contrastive, mixed_up, physics, radiance, deep_q, clipped_weights, pruned, projected,
    adversarial_domains, memory_bank, experts, fourier, preference, normalised_returns, layerwise, preconditioned,
    translation, equilibrium, quantization_aware, skip_gram, averaged, accumulated, evolving, uncertain, centred,
]  # fmt: skip
