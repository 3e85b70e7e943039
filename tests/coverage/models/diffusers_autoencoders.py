"""Autoencoders of diffusers, and what steers its denoisers."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.coverage.models.noise import (
    CONDITION,
    FLUX,
    HEADS,
    JOINT,
    Batch,
    adder,
    encoded,
    flux_batch,
    noisy,
    seen,
)
from tests.coverage.registry import Source

MODELS = Source("diffusers_autoencoders")
_add = adder(MODELS)


# autoencoders


def sampled(*shape: int, **decode: Any) -> Batch:
    """Samples (2, *shape); `decode`: what decoding needs besides."""
    return {"sample": torch.randn(2, *shape), "decode": decode}


KL: dict[str, Any] = {"block_out_channels": (8, 16), "norm_num_groups": 4}
_add(
    "autoencoder_kl",
    "autoencoder",
    "AutoencoderKL",
    partial(sampled, 3, 16, 16),
    loss=encoded,
    **KL,
    down_block_types=("DownEncoderBlock2D",) * 2,
    up_block_types=("UpDecoderBlock2D",) * 2,
    ci=True,
)
_add(
    "autoencoder_kl_asymmetric",
    "autoencoder",
    "AsymmetricAutoencoderKL",
    partial(sampled, 3, 16, 16),
    loss=encoded,
    down_block_types=("DownEncoderBlock2D",) * 2,
    up_block_types=("UpDecoderBlock2D",) * 2,
    down_block_out_channels=(8, 16),
    up_block_out_channels=(8, 16),
    norm_num_groups=4,
)
_add(
    "autoencoder_kl_temporal",
    "autoencoder",
    "AutoencoderKLTemporalDecoder",
    partial(sampled, 3, 16, 16, num_frames=2),
    loss=encoded,
    block_out_channels=(32, 32),
    down_block_types=("DownEncoderBlock2D",) * 2,
)
_add(
    "autoencoder_tiny",
    "autoencoder",
    "AutoencoderTiny",
    lambda: {"sample": torch.randn(2, 3, 16, 16)},
    encoder_block_out_channels=(8, 8),
    decoder_block_out_channels=(8, 8),
    num_encoder_blocks=(1, 2),
    num_decoder_blocks=(2, 1),
)
_add(
    "autoencoder_dc",
    "autoencoder",
    "AutoencoderDC",
    lambda: {"sample": torch.randn(2, 3, 16, 16)},
    latent_channels=4,
    attention_head_dim=4,
    encoder_block_types=("ResBlock", "EfficientViTBlock"),
    decoder_block_types=("ResBlock", "EfficientViTBlock"),
    encoder_block_out_channels=(8, 16),
    decoder_block_out_channels=(8, 16),
    encoder_layers_per_block=(1, 1),
    decoder_layers_per_block=(1, 1),
    encoder_qkv_multiscales=((), (5,)),
    decoder_qkv_multiscales=((), (5,)),
)
_add(
    "autoencoder_kl_wan",
    "autoencoder",
    "AutoencoderKLWan",
    partial(sampled, 3, 5, 16, 16),
    loss=encoded,
    base_dim=4,
    z_dim=4,
    dim_mult=[1, 1],
    num_res_blocks=1,
    temperal_downsample=[True],
)
_add(
    "autoencoder_kl_cogvideox",
    "autoencoder",
    "AutoencoderKLCogVideoX",
    partial(sampled, 3, 5, 16, 16),
    loss=encoded,
    down_block_types=("CogVideoXDownBlock3D",) * 2,
    up_block_types=("CogVideoXUpBlock3D",) * 2,
    block_out_channels=(8, 8),
    latent_channels=4,
    layers_per_block=1,
    norm_num_groups=2,
)
_add(
    "autoencoder_oobleck",
    "autoencoder",
    "AutoencoderOobleck",
    partial(sampled, 2, 64),
    loss=encoded,
    encoder_hidden_size=8,
    downsampling_ratios=[2, 4],
    channel_multiples=[1, 2],
    decoder_channels=8,
    decoder_input_channels=4,
)
_add(
    "vq",
    "autoencoder",
    "VQModel",
    lambda: {"sample": torch.randn(2, 3, 16, 16)},
    **KL,
    down_block_types=("DownEncoderBlock2D",) * 2,
    up_block_types=("UpDecoderBlock2D",) * 2,
    num_vq_embeddings=12,
)

# adapters and control


def _controlled() -> Batch:
    return {**noisy(4, 16, 16, words=5), "controlnet_cond": torch.randn(2, 3, 32, 32)}


CONTROL = {key: value for key, value in CONDITION.items() if key not in ("up_block_types", "sample_size")}


def _control_loss(model: Any, batch: Batch) -> torch.Tensor:
    down, mid = model(**batch, return_dict=False)
    return torch.stack([tensor.square().mean() for tensor in (*down, mid)]).sum()


_add(
    "controlnet",
    "control",
    "ControlNetModel",
    _controlled,
    loss=_control_loss,
    **CONTROL,
    conditioning_embedding_out_channels=(8, 16),
)
_add(
    "controlnet_sd3",
    "control",
    "SD3ControlNetModel",
    lambda: seen(4, 8, 8, words=5, pooled_projections=torch.randn(2, 16), controlnet_cond=torch.randn(2, 4, 8, 8)),
    **HEADS,
    **JOINT,
    sample_size=8,
    in_channels=4,
    out_channels=4,
    caption_projection_dim=32,
    pos_embed_max_size=8,
)
_add(
    "controlnet_flux",
    "control",
    "FluxControlNetModel",
    lambda: flux_batch(pooled_projections=torch.randn(2, 16), controlnet_cond=torch.randn(2, 16, 4)),
    **FLUX,
    **JOINT,
)
_add(
    "t2i_adapter",
    "control",
    "T2IAdapter",
    lambda: {"x": torch.randn(2, 3, 32, 32)},
    loss=lambda model, batch: torch.stack([found.square().mean() for found in model(**batch)]).sum(),
    channels=[8, 16],
    num_res_blocks=1,
    downscale_factor=4,
)
