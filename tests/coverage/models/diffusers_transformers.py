"""Transformers of diffusers over images and sound."""

from __future__ import annotations

import torch

from tests.coverage.models.noise import (
    FLUX,
    HEADS,
    JOINT,
    adder,
    flux_batch,
    seen,
    when,
)
from tests.coverage.registry import Source

MODELS = Source("diffusers_transformers")
_add = adder(MODELS)


_add(
    "dit",
    "transformer",
    "DiTTransformer2DModel",
    lambda: seen(4, 8, 8, class_labels=torch.randint(0, 5, (2,))),
    **HEADS,
    sample_size=8,
    num_embeds_ada_norm=5,
)
_add(
    "transformer_2d",
    "transformer",
    "Transformer2DModel",
    lambda: {"hidden_states": torch.randn(2, 16, 8, 8), "encoder_hidden_states": torch.randn(2, 5, 16)},
    **HEADS,
    in_channels=16,
    norm_num_groups=4,
    cross_attention_dim=16,
)
_add(
    "transformer_temporal",
    "video",
    "TransformerTemporalModel",
    lambda: {"hidden_states": torch.randn(6, 16, 4, 4), "num_frames": 3},
    **HEADS,
    in_channels=16,
    norm_num_groups=4,
)
_add(
    "pixart",
    "transformer",
    "PixArtTransformer2DModel",
    lambda: seen(4, 8, 8, words=5, added_cond_kwargs={"resolution": None, "aspect_ratio": None}),
    **HEADS,
    sample_size=8,
    cross_attention_dim=32,
    caption_channels=16,
    use_additional_conditions=False,
)
_add(
    "sd3",
    "transformer",
    "SD3Transformer2DModel",
    lambda: seen(4, 8, 8, words=5, pooled_projections=torch.randn(2, 16)),
    ci=True,
    **HEADS,
    **JOINT,
    sample_size=8,
    in_channels=4,
    out_channels=4,
    caption_projection_dim=32,
    pos_embed_max_size=8,
)
_add(
    "sd35",
    "transformer",
    "SD3Transformer2DModel",
    lambda: seen(4, 8, 8, words=5, pooled_projections=torch.randn(2, 16)),
    **HEADS,
    **JOINT,
    sample_size=8,
    in_channels=4,
    out_channels=4,
    caption_projection_dim=32,
    pos_embed_max_size=8,
    dual_attention_layers=(0,),
    qk_norm="rms_norm",
)


_add(
    "flux",
    "transformer",
    "FluxTransformer2DModel",
    lambda: flux_batch(pooled_projections=torch.randn(2, 16)),
    **FLUX,
    **JOINT,
)
_add(
    "flux_guided",
    "transformer",
    "FluxTransformer2DModel",
    lambda: flux_batch(pooled_projections=torch.randn(2, 16), guidance=torch.rand(2)),
    **FLUX,
    **JOINT,
    guidance_embeds=True,
)
_add(
    "chroma",
    "transformer",
    "ChromaTransformer2DModel",
    lambda: flux_batch(attention_mask=torch.ones(2, 21)),
    **FLUX,
    joint_attention_dim=16,
    approximator_num_channels=8,
    approximator_hidden_dim=16,
    approximator_layers=1,
)
_add(
    "auraflow",
    "transformer",
    "AuraFlowTransformer2DModel",
    lambda: {**seen(4, 8, 8, words=5), "timestep": torch.rand(2)},
    num_attention_heads=2,
    attention_head_dim=16,
    sample_size=8,
    num_mmdit_layers=1,
    num_single_dit_layers=1,
    joint_attention_dim=16,
    caption_projection_dim=32,
    pos_embed_max_size=16,
)
_add(
    "sana",
    "transformer",
    "SanaTransformer2DModel",
    lambda: seen(4, 8, 8, words=5),
    **HEADS,
    in_channels=4,
    out_channels=4,
    num_cross_attention_heads=2,
    cross_attention_head_dim=16,
    cross_attention_dim=32,
    caption_channels=16,
    sample_size=8,
)
_add(
    "lumina2",
    "transformer",
    "Lumina2Transformer2DModel",
    lambda: {
        **seen(4, 8, 8, words=5),
        "timestep": torch.rand(2),
        "encoder_attention_mask": torch.ones(2, 5, dtype=torch.bool),
    },
    sample_size=8,
    in_channels=4,
    hidden_size=24,
    num_layers=1,
    num_refiner_layers=1,
    num_attention_heads=2,
    num_kv_heads=1,
    multiple_of=8,
    axes_dim_rope=(4, 4, 4),
    axes_lens=(16, 16, 16),
    cap_feat_dim=16,
)
_add(
    "hunyuan_dit",
    "transformer",
    "HunyuanDiT2DModel",
    lambda: {
        **seen(4, 8, 8, words=5),
        "timestep": torch.rand(2),
        "text_embedding_mask": torch.ones(2, 5),
        "encoder_hidden_states_t5": torch.randn(2, 6, 16),
        "text_embedding_mask_t5": torch.ones(2, 6),
        "image_meta_size": torch.rand(2, 6),
        "style": torch.zeros(2, dtype=torch.long),
        "image_rotary_emb": [torch.ones(16, 16), torch.zeros(16, 16)],
    },
    **HEADS,
    in_channels=4,
    patch_size=2,
    sample_size=8,
    hidden_size=32,
    cross_attention_dim=16,
    cross_attention_dim_t5=16,
    pooled_projection_dim=16,
    text_len=5,
    text_len_t5=6,
)
_add(
    "cogview4",
    "transformer",
    "CogView4Transformer2DModel",
    lambda: seen(
        4, 8, 8, words=5, original_size=torch.rand(2, 2), target_size=torch.rand(2, 2), crop_coords=torch.rand(2, 2)
    ),
    **HEADS,
    in_channels=4,
    out_channels=4,
    text_embed_dim=16,
    time_embed_dim=16,
    condition_dim=8,
    pos_embed_max_size=8,
    sample_size=8,
    rope_axes_dim=(8, 8),
)
_add(
    "qwen_image",
    "transformer",
    "QwenImageTransformer2DModel",
    lambda: {
        **seen(16, 16, words=5),
        "timestep": torch.rand(2),
        "encoder_hidden_states_mask": torch.ones(2, 5, dtype=torch.bool),
        "img_shapes": [(1, 4, 4)] * 2,
    },
    **HEADS,
    in_channels=16,
    out_channels=4,
    joint_attention_dim=16,
    axes_dims_rope=(4, 6, 6),
)
_add(
    "stable_audio",
    "sound",
    "StableAudioDiTModel",
    lambda: seen(
        4,
        12,
        words=5,
        global_hidden_states=torch.randn(2, 1, 16),
        rotary_embedding=(torch.ones(13, 8), torch.zeros(13, 8)),
    ),
    **HEADS,
    sample_size=12,
    in_channels=4,
    num_key_value_attention_heads=1,
    out_channels=4,
    cross_attention_dim=16,
    time_proj_dim=8,
    global_states_input_dim=16,
    cross_attention_input_dim=16,
)
_add(
    "prior",
    "transformer",
    "PriorTransformer",
    lambda: {
        "hidden_states": torch.randn(2, 16),
        "timestep": when(),
        "proj_embedding": torch.randn(2, 16),
        "encoder_hidden_states": torch.randn(2, 5, 16),
    },
    **HEADS,
    embedding_dim=16,
    num_embeddings=5,
    additional_embeddings=4,
)
