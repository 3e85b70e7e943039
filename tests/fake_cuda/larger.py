"""Models large enough that segments of the caching allocator matter."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from tests.zoo import Made, _denoising_loss, _Residual


def _tokens(batch: int, length: int, vocabulary: int) -> dict[str, torch.Tensor]:
    ids = torch.zeros(batch, length, dtype=torch.long)
    return {"input_ids": ids, "labels": ids.clone()}


def gpt2() -> Made:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=8000, n_positions=128, n_embd=384, n_layer=2, n_head=6, use_cache=False)
    return GPT2LMHeadModel(config), _tokens(4, 128, 8000), None


def bert() -> Made:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=8000, hidden_size=384, num_hidden_layers=2, num_attention_heads=6, intermediate_size=1536
    )
    return BertForMaskedLM(config), _tokens(8, 128, 8000), None


def llama() -> Made:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=8000,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=4,
        use_cache=False,
    )
    return LlamaForCausalLM(config), _tokens(2, 256, 8000), None


def vit() -> Made:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=384, num_hidden_layers=2, num_attention_heads=6, intermediate_size=1536, num_labels=100
    )
    batch = {"pixel_values": torch.zeros(4, 3, 224, 224), "labels": torch.zeros(4, dtype=torch.long)}
    return ViTForImageClassification(config), batch, None


def resnet() -> Made:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)]
    widths = (32, 64, 128, 256)
    layers += [
        _Residual(before, after, 1 if before == after else 2)
        for before, after in zip((32, *widths), widths, strict=False)
    ]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 100)]
    return (
        nn.Sequential(*layers),
        (torch.zeros(8, 3, 128, 128), torch.zeros(8, dtype=torch.long)),
        nn.CrossEntropyLoss(),
    )


def unet() -> Made:
    from diffusers import UNet2DModel

    model = UNet2DModel(
        sample_size=32,
        layers_per_block=1,
        block_out_channels=(64, 128),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    images = torch.zeros(8, 3, 32, 32)
    batch = {"sample": images, "noise": images.clone(), "timestep": torch.zeros(8, dtype=torch.long)}
    return model, batch, _denoising_loss


LARGER: dict[str, Callable[[], Made]] = {
    "gpt2": gpt2,
    "bert": bert,
    "llama": llama,
    "vit": vit,
    "resnet": resnet,
    "unet": unet,
}
