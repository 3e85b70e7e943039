"""Models sharded by torch's `fully_shard` and by `roam.shard`, and the same training of both."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn

import roam_lab as roam
from roam_lab.runtime.identity import digest
from tests.distributed.models import found, rows, step, tokens


def uneven() -> nn.Module:
    """Rows that no number of ranks divides, and layers of fewer rows than 4 ranks."""
    return nn.Sequential(
        nn.Linear(12, 25), nn.LayerNorm(25), nn.GELU(), nn.Dropout(0.2), nn.Linear(25, 3, bias=False), nn.LayerNorm(3),
        nn.Linear(3, 5),
    )  # fmt: skip


def with_frozen() -> nn.Module:
    model = uneven()
    model[0].requires_grad_(False)
    return model


class Tied(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(64, 16)
        self.norm = nn.LayerNorm(16)
        self.up, self.down = nn.Linear(16, 33), nn.Linear(33, 16)
        self.head = nn.Linear(16, 64, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> Any:
        hidden = self.embedding(input_ids)
        hidden = hidden + self.down(nn.functional.gelu(self.up(self.norm(hidden))))
        return _Output(nn.functional.cross_entropy(self.head(hidden).flatten(0, 1), labels.flatten()))


class _Output:
    def __init__(self, loss: torch.Tensor) -> None:
        self.loss = loss


def batches_of(make: Any, count: int) -> list[Any]:
    if make is wide:
        generator = torch.Generator().manual_seed(100 + dist.get_rank())
        return [(torch.randn(4, 48, generator=generator), torch.tensor([0, 1, 2, 3])) for _ in range(count)]
    return rows(count) if make in (uneven, with_frozen) else tokens(count)


def fully_sharded(make: Any) -> nn.Module:
    """By torch, module by module; what two modules share is the outermost's."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    model = make()
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    for module in reversed(list(model.modules())):
        own = [one for one in module._parameters.values() if one is not None]
        if own and module is not model and all(owners[id(one)] == 1 for one in own):
            fully_shard(module, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def sharded(make: Any) -> nn.Module:
    torch.manual_seed(0)
    return roam.shard(make())


def wholes(model: nn.Module) -> dict[str, str]:
    """Digests of whole parameters, however they are sharded."""
    named = roam.full_state_dict(model)
    full = {name: one.full_tensor() if hasattr(one, "full_tensor") else one for name, one in named.items()}
    return {name: digest(one) for name, one in full.items()}


def train(run: Any, model: nn.Module, batches: Any) -> dict[str, str]:
    torch.manual_seed(7 + dist.get_rank())
    left = {}
    for index, batch in enumerate(batches):
        result = run(batch)
        for name, value in result.items() if isinstance(result, dict) else [("loss", result)]:
            value = value.full_tensor() if hasattr(value, "full_tensor") else value
            left[f"{name} {index}"] = digest(value)
    return {**left, **wholes(model), "random": digest(torch.get_rng_state())}


def eagerly(
    model: nn.Module, batches: Any, train_step: Any = step, optimizer: Any = torch.optim.AdamW
) -> dict[str, str]:
    its = optimizer(model.parameters(), lr=0.01)
    return train(lambda batch: train_step(model, its, batch), model, batches)


def wide() -> nn.Module:
    """Weights take more than activations, so gathered ones are most of what a step holds."""
    return nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(48, 48), nn.GELU())), nn.Linear(48, 5))


def both(make: Any, steps: int = 4, train_step: Any = step, optimizer: Any = torch.optim.AdamW, **goals: Any) -> Any:
    """The same training by `fully_shard`, and of a sharded model through the hook from its first step on."""
    batches = batches_of(make, steps)
    torchs = eagerly(fully_sharded(make), batches, train_step, optimizer)
    model = sharded(make)
    its = optimizer(model.parameters(), lr=0.01)
    profile = roam.profile(model, batches[0], its, step=train_step)
    plan = profile.plan(**goals) if dist.get_rank() == 0 else None
    run = roam.hook(plan, model, its, step=train_step)
    planned = train(run, model, batches)
    return found(run, torchs, planned) | {"plan": plan}
