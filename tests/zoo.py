"""Small models that every test draws from: random weights, nothing downloaded, well under a second a step.

`MODELS`: name -> function() -> (model, batch, loss or None); seed before calling. `OPTIMIZERS` and `STEPS` stand in
`zoo_training` and are given on from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.zoo_training import OPTIMIZERS, STEPS, adamw, adamw_groups

__all__ = ["MODELS", "OPTIMIZERS", "STEPS", "Made", "Tiny", "adamw", "adamw_groups", "tiny"]

Made = tuple[nn.Module, Any, Callable[[nn.Module, Any], torch.Tensor] | nn.Module | None]


def _tokens(batch: int, length: int, vocabulary: int) -> torch.Tensor:
    return torch.randint(0, vocabulary, (batch, length))


def gpt2() -> Made:
    """Dropout on, input and output embedding tied."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=61,
        n_positions=16,
        n_embd=24,
        n_layer=2,
        n_head=2,
        bos_token_id=1,
        eos_token_id=2,
        use_cache=False,
    )
    ids = _tokens(2, 12, 61)
    return GPT2LMHeadModel(config).train(), {"input_ids": ids, "labels": ids}, None


def bert() -> Made:
    """Dropout on, masked-language-model head tied to the embedding."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=61,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=16,
    )
    ids = _tokens(2, 12, 61)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    return BertForMaskedLM(config).train(), batch, None


def vit() -> Made:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=16,
        patch_size=8,
        num_labels=5,
    )
    batch = {"pixel_values": torch.randn(2, 3, 16, 16), "labels": torch.randint(0, 5, (2,))}
    return ViTForImageClassification(config).train(), batch, None


def t5() -> Made:
    """Encoder and decoder, relative positions, dropout on, tied."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=61,
        d_model=24,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=3,
        decoder_start_token_id=0,
        pad_token_id=0,
        use_cache=False,
    )
    ids = _tokens(2, 10, 61)
    return T5ForConditionalGeneration(config).train(), {"input_ids": ids, "labels": ids[:, :7].contiguous()}, None


def llama() -> Made:
    """Rotary positions, grouped-query attention, SwiGLU, untied."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=61,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16,
        use_cache=False,
    )
    ids = _tokens(2, 12, 61)
    return LlamaForCausalLM(config).train(), {"input_ids": ids, "labels": ids}, None


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def _images(classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 3, 16, 16), torch.randint(0, classes, (4,))


def resnet() -> Made:
    """BatchNorm (buffers written in the forward pass), in-place ReLU, a criterion over (inputs, targets)."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        _Residual(8, 8, 1),
        _Residual(8, 16, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )
    return model.train(), _images(), nn.CrossEntropyLoss()


class _DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, growth, 3, 1, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.conv(torch.relu(self.norm(x)))], 1)


def densenet() -> Made:
    """Concatenation after every layer: activations shared by many readers."""
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, 1, 1, bias=False)]
    layers += [_DenseLayer(8 + 4 * index, 4) for index in range(3)]
    layers += [nn.AvgPool2d(2), nn.BatchNorm2d(20), nn.Conv2d(20, 10, 1, bias=False)]
    layers += [_DenseLayer(10 + 4 * index, 4) for index in range(3)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(22, 5)]
    return nn.Sequential(*layers).train(), _images(), nn.CrossEntropyLoss()


def _denoising_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    predicted = model(batch["sample"], batch["timestep"]).sample
    return torch.nn.functional.mse_loss(predicted, batch["noise"])


def unet() -> Made:
    """A diffusion U-Net: attention, group norm, skips over the whole depth; its own loss function."""
    from diffusers import UNet2DModel

    model = UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    batch = {
        "sample": torch.randn(2, 3, 8, 8),
        "noise": torch.randn(2, 3, 8, 8),
        "timestep": torch.randint(0, 1000, (2,)),
    }
    return model.train(), batch, _denoising_loss


class Tiny(nn.Module):
    """A little of everything: embedding, norm, dropout, tied head, a frozen and an unused parameter."""

    def __init__(self, checkpointed: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8)
        self.hidden = nn.Linear(8, 16)
        self.back = nn.Linear(16, 8)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight
        self.frozen = nn.Parameter(torch.randn(8), requires_grad=False)
        self.unused = nn.Parameter(torch.randn(3))
        self.checkpointed = checkpointed

    def block(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(self.back(torch.relu(self.hidden(self.norm(x)))))

    def forward(self, ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.embed(ids) + self.frozen
        x = checkpoint(self.block, x, use_reentrant=False) if self.checkpointed else self.block(x)
        logits = self.head(x)
        return {"loss": nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())}


def tiny() -> Made:
    return Tiny().train(), {"ids": _tokens(4, 6, 11), "labels": _tokens(4, 6, 11)}, None


def tiny_checkpointed() -> Made:
    """The same with its block under torch.utils.checkpoint (dropout replayed from the saved random state)."""
    return Tiny(checkpointed=True).train(), {"ids": _tokens(4, 6, 11), "labels": _tokens(4, 6, 11)}, None


MODELS: dict[str, Callable[[], Made]] = {
    "gpt2": gpt2,
    "bert": bert,
    "vit": vit,
    "t5": t5,
    "llama": llama,
    "resnet": resnet,
    "densenet": densenet,
    "unet": unet,
    "tiny": tiny,
    "tiny_checkpointed": tiny_checkpointed,
}
