"""Further training steps as strangers' repositories have them; strangers.py has the others."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from tests.situations.judge import Situation
from tests.situations.models import adamw, data, inputs, mlp
from tests.situations.strangers import finish, generator

fn = nn.functional


class KahanAdamW(torch.optim.Optimizer):
    """AdamW for bfloat16 weights, which keeps what rounding has lost."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"] = torch.tensor(0.0)
                    for name in ("m", "v", "lost"):
                        state[name] = torch.zeros_like(p)
                state["step"] += 1
                state["m"].lerp_(p.grad, 0.1)
                state["v"].mul_(0.99).addcmul_(p.grad, p.grad, value=0.01)
                rate = group["lr"] / (1 - 0.9 ** state["step"].item())
                p.mul_(1 - group["lr"] * 0.01)
                state["lost"].addcdiv_(state["m"], state["v"].sqrt().add_(1e-6), value=-rate)
                before = p.detach().clone()
                p.add_(state["lost"])
                state["lost"].add_(before.sub_(p))


def kahan_summed() -> Situation:
    model = mlp().bfloat16()

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return fn.cross_entropy(model(batch[0].bfloat16()).float(), batch[1])

    return Situation(model, KahanAdamW(model.parameters(), {"lr": 1e-2}), data(), loss)


def unfrozen_one_by_one() -> Situation:
    """A curriculum: a further layer is trained from a step on, in the step; rates fall from the last layer down."""
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    groups = [{"params": model[i].parameters(), "lr": 1e-2 * 0.8 ** (4 - i)} for i in (0, 2, 4)]
    optimizer, at = torch.optim.AdamW(groups), {"step": 0}

    def step(model: Any, optimizer: Any, batch: Any) -> torch.Tensor:
        for index, layer in enumerate((4, 2, 0)):
            for p in model[layer].parameters():
                p.requires_grad = at["step"] >= 3 * index
        at["step"] += 1
        return finish(optimizer, fn.cross_entropy(model(batch[0]), batch[1]))

    return Situation(model, optimizer, data(), step=step, others={"at": at})


class Dequantized(torch.autograd.Function):
    """A product with 8-bit weights, which are made floats again in backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(codes, scale)
        return x @ (codes.to(x.dtype) * scale).t()

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None, None]:  # type: ignore[override]
        codes, scale = ctx.saved_tensors
        return g @ (codes.to(g.dtype) * scale), None, None


class LowRankOnQuantized(nn.Module):
    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        weight = base.weight.detach()
        scale = weight.abs().amax(1, keepdim=True) / 127
        self.register_buffer("codes", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = nn.Parameter(base.bias.detach(), requires_grad=False)
        self.a = nn.Parameter(torch.randn(2, weight.shape[1]) * 0.1)
        self.b = nn.Parameter(torch.zeros(weight.shape[0], 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Dequantized.apply(x, self.codes, self.scale) + self.bias + fn.dropout(x, 0.1) @ self.a.t() @ self.b.t()


def quantized_base() -> Situation:
    """QLoRA: adapters on a base in 8 bits, the activations of a block made again in backward."""
    model = mlp()
    model[0], model[2] = LowRankOnQuantized(model[0]), LowRankOnQuantized(model[2])  # type: ignore[arg-type]

    def loss(model: Any, batch: Any) -> torch.Tensor:
        h = torch.utils.checkpoint.checkpoint(model[:2], batch[0].requires_grad_(False), use_reentrant=False)
        return fn.cross_entropy(model[2](h), batch[1])

    return Situation(model, adamw(model), data(), loss)


def packed_by_offsets() -> Situation:
    """Documents of several lengths in one row, attention within each by `cu_seqlens`, the loss over tokens that
    count."""
    model = nn.ModuleDict({"embed": nn.Embedding(20, 16), "qkv": nn.Linear(16, 48), "out": nn.Linear(16, 20)})
    g, batches = generator(), []
    for lengths in ((5, 3, 4), (2, 6, 4), (4, 4, 4), (1, 10, 1)):
        offsets = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        labels = torch.randint(0, 20, (12,), generator=g)
        labels[offsets[1:].long() - 1] = -100
        batches.append({"tokens": torch.randint(0, 20, (12,), generator=g), "cu_seqlens": offsets, "labels": labels})

    def loss(model: Any, batch: Any) -> torch.Tensor:
        place = torch.arange(12)
        document = torch.searchsorted(batch["cu_seqlens"][1:].contiguous(), place, right=True)
        mask = (document[:, None] == document[None]) & (place[:, None] >= place[None])
        q, k, v = model["qkv"](model["embed"](batch["tokens"])).view(12, 3, 2, 8).permute(1, 2, 0, 3)
        h = (
            fn.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask)[0]
            .transpose(0, 1)
            .reshape(12, 16)
        )
        total = fn.cross_entropy(model["out"](h.reshape(12, 16)), batch["labels"], reduction="sum")
        return total / (batch["labels"] != -100).sum()

    return Situation(model, adamw(model), batches, loss)


def scheduled_by_hand() -> Situation:
    """A pretraining loop: warm-up and cosine for the rate, another for weight decay, a check of the loss, norms of
    gradients in a dict, the smoothed loss in a meter."""
    model = mlp()
    meter = {"step": 0, "smoothed": 0.0, "worst": 0.0}

    def cosine(at: int, first: float, last: float, warm: int = 0, total: int = 30) -> float:
        if at < warm:
            return first * (at + 1) / warm
        return last + 0.5 * (first - last) * (1 + math.cos(math.pi * (at - warm) / (total - warm)))

    def step(model: nn.Module, optimizer: Any, batch: Any) -> dict[str, Any]:
        for group in optimizer.param_groups:
            group["lr"] = cosine(meter["step"], 1e-2, 1e-5, warm=4)
            if group["weight_decay"] > 0:
                group["weight_decay"] = cosine(meter["step"], 0.04, 0.4)
        loss = fn.cross_entropy(model(batch[0]), batch[1])
        value = loss.item()
        if not math.isfinite(value):
            raise RuntimeError(f"loss is {value}, stopping training")
        optimizer.zero_grad()
        loss.backward()
        norms = {name: p.grad.detach().norm() for name, p in model.named_parameters()}
        nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()
        meter["step"] += 1
        meter["smoothed"] = 0.9 * meter["smoothed"] + 0.1 * value
        meter["worst"] = max(meter["worst"], value)
        return {"loss": value, "norms": norms, "perplexity": math.exp(value)}

    decayed = [{"params": [p]} if p.ndim > 1 else {"params": [p], "weight_decay": 0.0} for p in model.parameters()]
    return Situation(model, torch.optim.AdamW(decayed), data(), step=step, others={"meter": meter})


def soft_actor() -> Situation:
    """SAC: an actor, twin critics and a temperature, three optimizers; a ring of transitions; targets that follow."""
    model = nn.ModuleDict({"actor": mlp(16, 4), "one": mlp(16, 1), "two": mlp(16, 1)})
    model["one"][0], model["two"][0] = nn.Linear(14, 16), nn.Linear(14, 16)
    targets = [copy.deepcopy(model[name]).requires_grad_(False) for name in ("one", "two")]
    log_alpha = nn.Parameter(torch.zeros(()))
    critics = [*model["one"].parameters(), *model["two"].parameters()]
    optimizers = (
        torch.optim.Adam(model["actor"].parameters(), 1e-3), torch.optim.Adam(critics, 1e-3),
        torch.optim.Adam([log_alpha], 1e-2),
    )  # fmt: skip
    ring, at = torch.randn(32, 12, generator=generator()), {"place": 0}

    def act(state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = model["actor"](state).chunk(2, -1)
        q = torch.distributions.Normal(mean, log_std.clamp(-5, 2).exp())
        raw = q.rsample()
        return raw.tanh(), (q.log_prob(raw) - (1 - raw.tanh().pow(2) + 1e-6).log()).sum(-1, keepdim=True)

    def step(model: Any, optimizers: Any, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        of_actor, of_critics, of_alpha = optimizers
        ring[at["place"] : at["place"] + 2] = batch[:2]
        at["place"] = (at["place"] + 2) % 32
        s, n = ring[torch.randint(0, 32, (8,))], batch
        alpha = log_alpha.exp().detach()
        with torch.no_grad():
            a, logp = act(n)
            q = torch.min(*(one(torch.cat([n, a], -1)) for one in targets)) - alpha * logp
            wanted = s[:, :1] + 0.99 * q
        a = torch.rand(8, 2) * 2 - 1
        loss = sum(fn.mse_loss(model[name](torch.cat([s, a], -1)), wanted) for name in ("one", "two"))
        finish(of_critics, loss)
        for p in critics:
            p.requires_grad_(False)
        a, logp = act(s)
        q = torch.min(*(model[name](torch.cat([s, a], -1)) for name in ("one", "two")))
        finish(of_actor, (alpha * logp - q).mean())
        for p in critics:
            p.requires_grad_(True)
        finish(of_alpha, -(log_alpha * (logp.detach() - 2)).mean())
        with torch.no_grad():
            for name, target in zip(("one", "two"), targets, strict=True):
                torch._foreach_lerp_(list(target.parameters()), list(model[name].parameters()), 0.01)
        return {"critic": loss.detach(), "alpha": alpha}

    others = {"targets": targets, "log_alpha": log_alpha, "ring": ring, "at": at}
    return Situation(model, optimizers, inputs(), step=step, others=others)


def ensemble() -> Situation:
    """Several models at once by vmap, over weights that are stacked beside the model."""
    models = [mlp() for _ in range(3)]
    stacked, buffers = torch.func.stack_module_state(models)
    model = copy.deepcopy(models[0]).requires_grad_(False)

    def one(parameters: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return fn.cross_entropy(torch.func.functional_call(model, parameters, (x,)), y)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        losses = torch.func.vmap(one, in_dims=(0, None, None))(stacked, *batch)
        finish(optimizer, losses.sum())
        return losses.detach()

    others = {"stacked": stacked, "buffers": buffers}
    return Situation(model, torch.optim.Adam(stacked.values(), lr=1e-2), data(), step=step, others=others)


def balanced_gradients() -> Situation:
    """GradNorm: weights of two losses, by an optimizer of their own, from the norms of gradients of a shared layer."""
    model = mlp(16, 8)
    weights = nn.Parameter(torch.ones(2))
    optimizers = (torch.optim.Adam(model.parameters(), 1e-2), torch.optim.Adam([weights], 1e-2))
    first: dict[str, torch.Tensor] = {"losses": torch.tensor([1.4, 0.3])}

    def step(model: Any, optimizers: Any, batch: Any) -> torch.Tensor:
        out = model(batch[0])
        losses = torch.stack([fn.cross_entropy(out[:, :4], batch[1]), out[:, 4:].abs().mean()])
        total = (weights * losses).sum()
        optimizers[0].zero_grad()
        total.backward(retain_graph=True)
        optimizers[1].zero_grad()
        shared = model[0].weight
        norms = torch.stack([
            torch.autograd.grad(weights[i] * losses[i], shared, retain_graph=True, create_graph=True)[0].norm()
            for i in range(2)
        ])  # fmt: skip
        rates = (losses / first["losses"]).detach()
        target = (norms.mean() * (rates / rates.mean()).pow(1.5)).detach()
        weights.grad = torch.autograd.grad((norms - target).abs().sum(), weights)[0]
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            weights.mul_(2 / weights.sum())
        return total.detach()

    return Situation(model, optimizers, data(), step=step, others={"weights": weights, "first": first})


TODAY = [
    kahan_summed, unfrozen_one_by_one, quantized_base, packed_by_offsets, scheduled_by_hand, soft_actor, ensemble,
    balanced_gradients,
]  # fmt: skip
