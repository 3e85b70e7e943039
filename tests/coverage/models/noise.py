"""Batches and losses of the models of diffusers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import diffusers
import torch

from tests.coverage.models.tiny import given
from tests.coverage.registry import Made, Source

Batch = dict[str, Any]


def first_output(model: Any, batch: Batch) -> torch.Tensor:
    """The mean square of the first output, or of all of them where it is a list."""
    output = model(**batch, return_dict=False)
    first = output[0] if isinstance(output, tuple) else output
    tensors = first if isinstance(first, (list, tuple)) else [first]
    return torch.stack([tensor.float().square().mean() for tensor in tensors]).sum()


def denoised(model: Any, batch: Batch) -> torch.Tensor:
    """Noise is added to the sample and predicted: the usual loss of a denoiser."""
    rest = dict(batch)
    sample = rest.pop("sample")
    noise = torch.randn_like(sample)
    kept = torch.cos(rest["timestep"] / 1000 * 1.5).view(-1, *(1,) * (sample.dim() - 1))
    found = model(kept * sample + (1 - kept.square()).sqrt() * noise, **rest, return_dict=False)[0]
    return (found - noise).square().mean()


def encoded(model: Any, batch: Batch) -> torch.Tensor:
    """A variational autoencoder: reconstruction from a sampled latent, and its distance from a normal one."""
    posterior = model.encode(batch["sample"]).latent_dist
    back = model.decode(posterior.sample(), return_dict=False, **batch.get("decode", {}))[0]
    return (back.float().mean() - batch["sample"].mean()).square() + back.square().mean() + 1e-3 * posterior.kl().mean()


def adder(models: Source) -> Callable[..., None]:
    """A function that adds a model of diffusers to `models`; its arguments are those of `tiny.adder`."""

    def add(
        name: str, family: str, class_name: str, batch: Any, ci: bool = False, loss: Any = first_output, **own: Any
    ) -> None:
        models.add(name, family, partial(built, class_name, batch, loss, own), ci)

    return add


def built(class_name: str, batch: Callable[[], Batch], loss: Any, own: dict[str, Any]) -> Made:
    """The model, trained by the fused AdamW: these have many parameters, and its capture takes half the time."""
    model = getattr(diffusers, class_name)(**own).train()
    return {
        **given(model, batch),
        "loss": loss,
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True),
    }


def when() -> torch.Tensor:
    """Two times."""
    return torch.randint(0, 1000, (2,))


def noisy(*shape: int, words: int = 0, **more: Any) -> Batch:
    """A sample (2, *shape) with times, and `words` text features of width 16."""
    text = {"encoder_hidden_states": torch.randn(2, words, 16)} if words else {}
    return {"sample": torch.randn(2, *shape), "timestep": when(), **text, **more}


def seen(*shape: int, words: int = 0, **more: Any) -> Batch:
    """Hidden states (2, *shape) with times, and `words` text features of width 16."""
    text = {"encoder_hidden_states": torch.randn(2, words, 16)} if words else {}
    return {"hidden_states": torch.randn(2, *shape), "timestep": when(), **text, **more}


HEADS: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2}
JOINT: dict[str, Any] = {"joint_attention_dim": 16, "pooled_projection_dim": 16}


def positions(length: int) -> torch.Tensor:
    """(length, 3) positions of rotary attention."""
    return torch.stack([torch.zeros(length), torch.arange(length).float(), torch.arange(length).float()], 1)


def flux_batch(**more: Any) -> Batch:
    """A grid of 4 x 4 and 5 words."""
    return {
        **seen(16, 4, words=5),
        "timestep": torch.rand(2),
        "img_ids": positions(16),
        "txt_ids": positions(5),
        **more,
    }


FLUX: dict[str, Any] = {**HEADS, "num_layers": 1, "num_single_layers": 1, "in_channels": 4, "axes_dims_rope": (4, 6, 6)}

SMALL: dict[str, Any] = {"block_out_channels": (16, 32), "norm_num_groups": 8, "layers_per_block": 1}
CROSS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
CONDITION = {**SMALL, **CROSS, "sample_size": 16, "cross_attention_dim": 16, "attention_head_dim": 4}
