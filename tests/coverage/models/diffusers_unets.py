"""U-Nets of diffusers over images, sound and video."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.coverage.models.noise import (
    CONDITION,
    SMALL,
    adder,
    denoised,
    first_output,
    noisy,
)
from tests.coverage.registry import Source

MODELS = Source("diffusers_unets")
_add = adder(MODELS)


# U-Nets

PLAIN = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
UNET2D = {**SMALL, **PLAIN, "sample_size": 16, "in_channels": 3, "out_channels": 3, "attention_head_dim": 8}
_add("unet_2d", "unet", "UNet2DModel", partial(noisy, 3, 16, 16), loss=denoised, **UNET2D)
_add(
    "unet_2d_classes",
    "unet",
    "UNet2DModel",
    lambda: noisy(3, 16, 16, class_labels=torch.randint(0, 5, (2,))),
    loss=denoised,
    **UNET2D,
    num_class_embeds=5,
    dropout=0.1,
)
_add(
    "unet_2d_scale_shift",
    "unet",
    "UNet2DModel",
    partial(noisy, 3, 16, 16),
    loss=denoised,
    **{
        **UNET2D,
        "down_block_types": ("ResnetDownsampleBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "ResnetUpsampleBlock2D"),
        "resnet_time_scale_shift": "scale_shift",
    },
)
_add(
    "unet_2d_skip",
    "unet",
    "UNet2DModel",
    partial(noisy, 3, 16, 16),
    loss=denoised,
    **{
        **UNET2D,
        "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
        "block_out_channels": (32, 32),
    },
)
_add(
    "unet_2d_condition",
    "unet",
    "UNet2DConditionModel",
    partial(noisy, 4, 16, 16, words=5),
    loss=denoised,
    **CONDITION,
    ci=True,
)
_add(
    "unet_2d_condition_xl",
    "unet",
    "UNet2DConditionModel",
    lambda: noisy(
        4, 16, 16, words=5, added_cond_kwargs={"text_embeds": torch.randn(2, 16), "time_ids": torch.rand(2, 6)}
    ),
    loss=denoised,
    **CONDITION,
    addition_embed_type="text_time",
    addition_time_embed_dim=8,
    projection_class_embeddings_input_dim=64,
    use_linear_projection=True,
)
_add(
    "unet_2d_condition_simple",
    "unet",
    "UNet2DConditionModel",
    partial(noisy, 4, 16, 16, words=5),
    loss=denoised,
    **{
        **CONDITION,
        "down_block_types": ("SimpleCrossAttnDownBlock2D", "ResnetDownsampleBlock2D"),
        "up_block_types": ("ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "only_cross_attention": True,
    },
)
ONE: dict[str, Any] = {
    "sample_size": 32,
    "in_channels": 2,
    "out_channels": 2,
    "block_out_channels": (32, 64),
    "norm_num_groups": 4,
}
_add(
    "unet_1d",
    "unet",
    "UNet1DModel",
    partial(noisy, 2, 32),
    loss=first_output,
    **ONE,
    extra_in_channels=64,
    down_block_types=("DownBlock1DNoSkip", "AttnDownBlock1D"),
    up_block_types=("AttnUpBlock1D", "UpBlock1DNoSkip"),
)
_add(
    "unet_1d_value",
    "unet",
    "UNet1DModel",
    partial(noisy, 2, 32),
    loss=first_output,
    **ONE,
    time_embedding_type="positional",
    use_timestep_embedding=True,
    flip_sin_to_cos=False,
    freq_shift=1.0,
    down_block_types=("DownResnetBlock1D", "DownResnetBlock1D"),
    up_block_types=("UpResnetBlock1D",),
    mid_block_type="MidResTemporalBlock1D",
    out_block_type="OutConv1DBlock",
    act_fn="swish",
)
_add(
    "unet_3d_condition",
    "video",
    "UNet3DConditionModel",
    partial(noisy, 4, 3, 8, 8, words=5),
    loss=denoised,
    **SMALL,
    sample_size=8,
    cross_attention_dim=16,
    attention_head_dim=4,
    down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
    up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
)
_add(
    "unet_spatio_temporal",
    "video",
    "UNetSpatioTemporalConditionModel",
    lambda: noisy(3, 8, 8, 8, words=1, added_time_ids=torch.rand(2, 3)),
    in_channels=8,
    block_out_channels=(32, 32),
    layers_per_block=1,
    num_attention_heads=(2, 2),
    cross_attention_dim=16,
    addition_time_embed_dim=8,
    projection_class_embeddings_input_dim=24,
    down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
)
_add(
    "kandinsky3",
    "unet",
    "Kandinsky3UNet",
    lambda: noisy(4, 16, 16, words=5, encoder_attention_mask=torch.ones(2, 5)),
    time_embedding_dim=16,
    groups=4,
    attention_head_dim=8,
    layers_per_block=2,
    block_out_channels=(16, 32),
    cross_attention_dim=16,
    encoder_hid_dim=16,
)
_add(
    "stable_cascade",
    "unet",
    "StableCascadeUNet",
    lambda: {
        "sample": torch.randn(2, 4, 8, 8),
        "timestep_ratio": torch.rand(2),
        "clip_text_pooled": torch.randn(2, 1, 16),
    },
    in_channels=4,
    out_channels=4,
    conditioning_dim=16,
    block_out_channels=(16, 32),
    num_attention_heads=(2, 4),
    down_num_layers_per_block=(1, 1),
    up_num_layers_per_block=(1, 1),
    clip_text_pooled_in_channels=16,
    timestep_ratio_embedding_dim=8,
)
_add(
    "uvit",
    "masked",
    "UVit2DModel",
    lambda: {
        "input_ids": torch.randint(0, 20, (2, 4, 4)),
        "encoder_hidden_states": torch.randn(2, 5, 16),
        "pooled_text_emb": torch.randn(2, 16),
        "micro_conds": torch.rand(2, 5),
    },
    loss=lambda model, batch: model(**batch).float().square().mean(),
    hidden_size=32,
    cond_embed_dim=16,
    micro_cond_encode_dim=8,
    micro_cond_embed_dim=40,
    encoder_hidden_size=16,
    vocab_size=24,
    codebook_size=20,
    in_channels=16,
    block_out_channels=16,
    num_res_blocks=1,
    block_num_heads=2,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=48,
    sample_size=4,
)
