"""Transformers of diffusers over video."""

from __future__ import annotations

import torch

from tests.coverage.models.noise import (
    HEADS,
    adder,
    seen,
)
from tests.coverage.registry import Source

MODELS = Source("diffusers_video")
_add = adder(MODELS)


_add(
    "wan",
    "video",
    "WanTransformer3DModel",
    lambda: seen(4, 2, 8, 8, words=5),
    **HEADS,
    in_channels=4,
    out_channels=4,
    text_dim=16,
    freq_dim=16,
    ffn_dim=32,
    rope_max_seq_len=16,
)
_add(
    "cogvideox",
    "video",
    "CogVideoXTransformer3DModel",
    lambda: seen(3, 4, 8, 8, words=5),
    **HEADS,
    in_channels=4,
    out_channels=4,
    time_embed_dim=8,
    text_embed_dim=16,
    sample_width=8,
    sample_height=8,
    sample_frames=9,
    max_text_seq_length=5,
)
_add(
    "cogvideox_rotary",
    "video",
    "CogVideoXTransformer3DModel",
    lambda: seen(3, 4, 8, 8, words=5, image_rotary_emb=(torch.ones(48, 16), torch.zeros(48, 16))),
    **HEADS,
    in_channels=4,
    out_channels=4,
    time_embed_dim=8,
    text_embed_dim=16,
    sample_width=8,
    sample_height=8,
    sample_frames=9,
    max_text_seq_length=5,
    use_rotary_positional_embeddings=True,
)
_add(
    "latte",
    "video",
    "LatteTransformer3DModel",
    lambda: seen(4, 2, 8, 8, words=5),
    **HEADS,
    in_channels=4,
    out_channels=8,
    cross_attention_dim=32,
    sample_size=8,
    patch_size=2,
    norm_type="ada_norm_single",
    num_embeds_ada_norm=1000,
    norm_elementwise_affine=False,
    caption_channels=16,
    video_length=2,
    attention_bias=True,
)
_add(
    "ltx",
    "video",
    "LTXVideoTransformer3DModel",
    lambda: seen(
        32,
        4,
        words=5,
        encoder_attention_mask=torch.ones(2, 5),
        num_frames=2,
        height=4,
        width=4,
        rope_interpolation_scale=(1.0, 1.0, 1.0),
    ),
    **HEADS,
    in_channels=4,
    out_channels=4,
    cross_attention_dim=32,
    caption_channels=16,
)
_add(
    "hunyuan_video",
    "video",
    "HunyuanVideoTransformer3DModel",
    lambda: seen(
        4,
        2,
        8,
        8,
        words=5,
        encoder_attention_mask=torch.ones(2, 5),
        pooled_projections=torch.randn(2, 16),
        guidance=torch.rand(2),
    ),
    **{**HEADS, "num_layers": 1},
    in_channels=4,
    out_channels=4,
    num_single_layers=1,
    num_refiner_layers=1,
    text_embed_dim=16,
    pooled_projection_dim=16,
    rope_axes_dim=(4, 6, 6),
)
_add(
    "mochi",
    "video",
    "MochiTransformer3DModel",
    lambda: seen(4, 2, 8, 8, words=5, encoder_attention_mask=torch.ones(2, 5, dtype=torch.bool)),
    **HEADS,
    in_channels=4,
    pooled_projection_dim=16,
    text_embed_dim=16,
    time_embed_dim=8,
)
