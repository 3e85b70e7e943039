"""Models, optimizers and steps of the CUDA benchmark: random weights, nothing downloaded.

Beside the full sizes stand tiny ones (NAME_tiny), for rehearsals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks.models import LENGTH, Bottleneck, InBackward, Made, bert, gpt2, resnet50
from roam_lab.capture import as_step
from roam_lab.capture.step import as_loss

TINY_TEXT = {"vocab_size": 211}


def vit(batch: int, **config: Any) -> Made:
    """ViT-B/16 on 224 x 224 images, 1,000 classes, where `config` says nothing else."""
    from transformers import ViTConfig, ViTForImageClassification

    model = ViTForImageClassification(ViTConfig(**{"num_labels": 1000, **config})).train()
    size = model.config.image_size
    labels = torch.randint(0, model.config.num_labels, (batch,))
    return {"model": model, "batch": {"pixel_values": torch.randn(batch, 3, size, size), "labels": labels}}


def llama(batch: int, **config: Any) -> Made:
    """A Llama of 1.2 billion parameters (16 layers of 2,048, grouped queries), where `config` says nothing else."""
    from transformers import LlamaConfig, LlamaForCausalLM

    full = {
        "vocab_size": 32_000,
        "hidden_size": 2_048,
        "intermediate_size": 8_192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }
    model = LlamaForCausalLM(LlamaConfig(use_cache=False, **{**full, **config})).train()
    ids = torch.randint(0, model.config.vocab_size, (batch, LENGTH))
    return {"model": model, "batch": {"input_ids": ids, "labels": ids}}


def resnet_tiny(batch: int) -> Made:
    """One bottleneck on 16 x 16 images."""
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True), Bottleneck(16, 8, 2)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)).train()
    batch_data = (torch.randn(batch, 3, 16, 16), torch.randint(0, 5, (batch,)))
    return {"model": model, "batch": batch_data, "loss": nn.CrossEntropyLoss()}


_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
MODELS: dict[str, Callable[[int], Made]] = {
    "gpt2": gpt2,
    "gpt2_medium": partial(gpt2, n_layer=24, n_embd=1024, n_head=16),
    "bert": bert,
    "vit": vit,
    "resnet50": resnet50,
    "llama_1b": llama,
    "gpt2_tiny": partial(gpt2, n_layer=2, n_embd=32, n_head=2, **TINY_TEXT),
    "bert_tiny": partial(bert, **_SMALL, **TINY_TEXT),
    "vit_tiny": partial(vit, **_SMALL, image_size=32, num_labels=5),
    "resnet_tiny": resnet_tiny,
    "llama_tiny": partial(llama, **{**_SMALL, "num_key_value_heads": 1}, **TINY_TEXT),
}
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "default": partial(torch.optim.AdamW, lr=1e-4),
    "fused": partial(torch.optim.AdamW, lr=1e-4, fused=True),
    "in_backward": partial(InBackward, lr=1e-4),
}


@dataclass
class Training:
    """What is trained, on the device; `step` is the user's whole training step."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batch: Any
    step: Callable[[nn.Module, Any, Any], Any]

    def run(self) -> Any:
        """One eager step; its loss."""
        return self.step(self.model, self.optimizer, self.batch)


def training(settings: dict[str, Any], batch: int | None = None) -> Training:
    """`settings`: `model` of MODELS, `batch`, `optimizer` of OPTIMIZERS, `dtype`: fp32, or bf16 by autocast.

    Seeded, so that two processes train the same. Weights and batch are made on the device.
    """
    torch.manual_seed(0)
    with torch.device("cuda"):
        made = MODELS[settings["model"]](batch or settings["batch"])
    torch.manual_seed(1)
    step = as_step(made.get("loss"))
    if settings["dtype"] == "bf16":
        step = _with_autocast(made.get("loss"))
    if settings.get("checkpointing"):
        _checkpoint(made["model"])
    optimizer = OPTIMIZERS[settings["optimizer"]](made["model"].parameters())
    return Training(made["model"], optimizer, made["batch"], step)


def _with_autocast(loss: Any) -> Callable[[nn.Module, Any, Any], Any]:
    loss_of = as_loss(loss)

    def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            value = loss_of(model, batch)
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return value.detach()

    return step


class _Checkpointed(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        return checkpoint(self.inner, x, use_reentrant=False)


def _checkpoint(model: nn.Module) -> None:
    """Keep the input of every block alone; the block runs again in the backward pass."""
    if hasattr(model, "gradient_checkpointing_enable"):
        model.gradient_checkpointing_enable({"use_reentrant": False})
        return
    for name, child in model.named_children():
        if isinstance(child, Bottleneck):
            setattr(model, name, _Checkpointed(child))
