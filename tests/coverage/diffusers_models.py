"""Models of diffusers: denoisers over images, sound and video, autoencoders, adapters. The loss is a mean square."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import diffusers
import torch

from tests.coverage.registry import Made, Source
from tests.coverage.tiny import given

MODELS = Source("diffusers_models")
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
    """A variational autoencoder: reconstruction from a sampled latent, and the distance from the normal distribution."""
    posterior = model.encode(batch["sample"]).latent_dist
    back = model.decode(posterior.sample(), return_dict=False, **batch.get("decode", {}))[0]
    return (back.float().mean() - batch["sample"].mean()).square() + back.square().mean() + 1e-3 * posterior.kl().mean()


def _build(class_name: str, batch: Callable[[], Batch], loss: Any, own: dict[str, Any]) -> Made:
    return {**given(getattr(diffusers, class_name)(**own).train(), batch), "loss": loss}


def _add(
    name: str, family: str, class_name: str, batch: Callable[[], Batch], ci: bool = False, loss: Any = first_output,
    **own: Any,
) -> None:  # fmt: skip
    MODELS.add(name, family, partial(_build, class_name, batch, loss, own), ci)


def when() -> torch.Tensor:
    """Two times."""
    return torch.randint(0, 1000, (2,))


def noisy(*shape: int, words: int = 0, **more: Any) -> Batch:
    """A sample (2, *shape) with times, and `words` text features of width 16."""
    text = {"encoder_hidden_states": torch.randn(2, words, 16)} if words else {}
    return {"sample": torch.randn(2, *shape), "timestep": when(), **text, **more}


# U-Nets

SMALL: dict[str, Any] = {"block_out_channels": (16, 32), "norm_num_groups": 8, "layers_per_block": 1}
PLAIN = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
CROSS = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
UNET2D = {**SMALL, **PLAIN, "sample_size": 16, "in_channels": 3, "out_channels": 3, "attention_head_dim": 8}
CONDITION = {**SMALL, **CROSS, "sample_size": 16, "cross_attention_dim": 16, "attention_head_dim": 4}
_add("unet_2d", "unet", "UNet2DModel", partial(noisy, 3, 16, 16), ci=True, loss=denoised, **UNET2D)
_add("unet_2d_classes", "unet", "UNet2DModel", lambda: noisy(3, 16, 16, class_labels=torch.randint(0, 5, (2,))), loss=denoised, **UNET2D, num_class_embeds=5, dropout=0.1)
_add("unet_2d_scale_shift", "unet", "UNet2DModel", partial(noisy, 3, 16, 16), loss=denoised, **{**UNET2D, "down_block_types": ("ResnetDownsampleBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "ResnetUpsampleBlock2D"), "resnet_time_scale_shift": "scale_shift"})
_add("unet_2d_skip", "unet", "UNet2DModel", partial(noisy, 3, 16, 16), loss=denoised, **{**UNET2D, "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"), "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"), "block_out_channels": (32, 32)})
_add("unet_2d_condition", "unet", "UNet2DConditionModel", partial(noisy, 4, 16, 16, words=5), ci=True, loss=denoised, **CONDITION)
_add("unet_2d_condition_xl", "unet", "UNet2DConditionModel", lambda: noisy(4, 16, 16, words=5, added_cond_kwargs={"text_embeds": torch.randn(2, 16), "time_ids": torch.rand(2, 6)}), loss=denoised, **CONDITION, addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=64, use_linear_projection=True)
_add("unet_2d_condition_simple", "unet", "UNet2DConditionModel", partial(noisy, 4, 16, 16, words=5), loss=denoised, **{**CONDITION, "down_block_types": ("SimpleCrossAttnDownBlock2D", "ResnetDownsampleBlock2D"), "up_block_types": ("ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D"), "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "only_cross_attention": True})
ONE: dict[str, Any] = {"sample_size": 32, "in_channels": 2, "out_channels": 2, "block_out_channels": (16, 32), "norm_num_groups": 4}
_add("unet_1d", "unet", "UNet1DModel", partial(noisy, 2, 32), loss=first_output, **ONE, extra_in_channels=32, down_block_types=("DownBlock1DNoSkip", "AttnDownBlock1D"), up_block_types=("AttnUpBlock1D", "UpBlock1DNoSkip"))
_add("unet_1d_value", "unet", "UNet1DModel", partial(noisy, 2, 32), loss=first_output, **ONE, time_embedding_type="positional", use_timestep_embedding=True, flip_sin_to_cos=False, freq_shift=1.0, down_block_types=("DownResnetBlock1D", "DownResnetBlock1D"), up_block_types=("UpResnetBlock1D",), mid_block_type="MidResTemporalBlock1D", out_block_type="OutConv1DBlock", act_fn="swish")
_add("unet_3d_condition", "video", "UNet3DConditionModel", partial(noisy, 4, 3, 8, 8, words=5), loss=denoised, **SMALL, sample_size=8, cross_attention_dim=16, attention_head_dim=4, down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"), up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"))
_add("unet_spatio_temporal", "video", "UNetSpatioTemporalConditionModel", lambda: noisy(3, 8, 8, 8, words=1, added_time_ids=torch.rand(2, 3)), in_channels=8, block_out_channels=(32, 32), layers_per_block=1, num_attention_heads=(2, 2), cross_attention_dim=16, addition_time_embed_dim=8, projection_class_embeddings_input_dim=24, down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"), up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"))
_add("kandinsky3", "unet", "Kandinsky3UNet", lambda: noisy(4, 16, 16, words=5, encoder_attention_mask=torch.ones(2, 5)), time_embedding_dim=16, groups=4, attention_head_dim=8, layers_per_block=2, block_out_channels=(16, 32), cross_attention_dim=16, encoder_hid_dim=16)
_add("stable_cascade", "unet", "StableCascadeUNet", lambda: {"sample": torch.randn(2, 4, 8, 8), "timestep_ratio": torch.rand(2), "clip_text_pooled": torch.randn(2, 1, 16)}, in_channels=4, out_channels=4, conditioning_dim=16, block_out_channels=(16, 32), num_attention_heads=(2, 4), down_num_layers_per_block=(1, 1), up_num_layers_per_block=(1, 1), clip_text_pooled_in_channels=16, timestep_ratio_embedding_dim=8)
_add("uvit", "masked", "UVit2DModel", lambda: {"input_ids": torch.randint(0, 20, (2, 4, 4)), "encoder_hidden_states": torch.randn(2, 5, 16), "pooled_text_emb": torch.randn(2, 16), "micro_conds": torch.rand(2, 5)}, loss=lambda model, batch: model(**batch).float().square().mean(), hidden_size=32, cond_embed_dim=16, micro_cond_encode_dim=8, micro_cond_embed_dim=40, encoder_hidden_size=16, vocab_size=24, codebook_size=20, in_channels=16, block_out_channels=16, num_res_blocks=1, block_num_heads=2, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, sample_size=4)

# transformers


def seen(*shape: int, words: int = 0, width: int = 16, **more: Any) -> Batch:
    """Hidden states (2, *shape) with times, and `words` text features of that width."""
    text = {"encoder_hidden_states": torch.randn(2, words, width)} if words else {}
    return {"hidden_states": torch.randn(2, *shape), "timestep": when(), **text, **more}


HEADS: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2}
_add("dit", "transformer", "DiTTransformer2DModel", lambda: seen(4, 8, 8, class_labels=torch.randint(0, 5, (2,))), ci=True, **HEADS, sample_size=8, num_embeds_ada_norm=5)
_add("transformer_2d", "transformer", "Transformer2DModel", lambda: {"hidden_states": torch.randn(2, 16, 8, 8), "encoder_hidden_states": torch.randn(2, 5, 16)}, **HEADS, in_channels=16, norm_num_groups=4, cross_attention_dim=16)
_add("transformer_2d_discrete", "transformer", "Transformer2DModel", lambda: {"hidden_states": torch.randint(0, 10, (2, 16)), "timestep": torch.randint(0, 5, (1,))}, **HEADS, num_vector_embeds=10, sample_size=4, num_embeds_ada_norm=5, norm_type="ada_norm")
_add("transformer_temporal", "video", "TransformerTemporalModel", lambda: {"hidden_states": torch.randn(6, 16, 4, 4), "num_frames": 3}, **HEADS, in_channels=16, norm_num_groups=4)
_add("pixart", "transformer", "PixArtTransformer2DModel", lambda: seen(4, 8, 8, words=5, added_cond_kwargs={"resolution": None, "aspect_ratio": None}), **HEADS, sample_size=8, cross_attention_dim=32, caption_channels=16, use_additional_conditions=False)
JOINT: dict[str, Any] = {"joint_attention_dim": 16, "pooled_projection_dim": 16}
_add("sd3", "transformer", "SD3Transformer2DModel", lambda: seen(4, 8, 8, words=5, pooled_projections=torch.randn(2, 16)), ci=True, **HEADS, **JOINT, sample_size=8, in_channels=4, out_channels=4, caption_projection_dim=32, pos_embed_max_size=8)
_add("sd35", "transformer", "SD3Transformer2DModel", lambda: seen(4, 8, 8, words=5, pooled_projections=torch.randn(2, 16)), **HEADS, **JOINT, sample_size=8, in_channels=4, out_channels=4, caption_projection_dim=32, pos_embed_max_size=8, dual_attention_layers=(0,), qk_norm="rms_norm")


def positions(length: int) -> torch.Tensor:
    """(length, 3) positions of rotary attention."""
    return torch.stack([torch.zeros(length), torch.arange(length).float(), torch.arange(length).float()], 1)


def flux_batch(**more: Any) -> Batch:
    """A grid of 4 x 4 and 5 words."""
    return {**seen(16, 4, words=5), "timestep": torch.rand(2), "img_ids": positions(16), "txt_ids": positions(5), **more}


FLUX: dict[str, Any] = {**HEADS, "num_layers": 1, "num_single_layers": 1, "in_channels": 4, "axes_dims_rope": (4, 6, 6)}
_add("flux", "transformer", "FluxTransformer2DModel", lambda: flux_batch(pooled_projections=torch.randn(2, 16)), **FLUX, **JOINT)
_add("flux_guided", "transformer", "FluxTransformer2DModel", lambda: flux_batch(pooled_projections=torch.randn(2, 16), guidance=torch.rand(2)), **FLUX, **JOINT, guidance_embeds=True)
_add("chroma", "transformer", "ChromaTransformer2DModel", lambda: flux_batch(attention_mask=torch.ones(2, 21)), **FLUX, joint_attention_dim=16, approximator_num_channels=8, approximator_hidden_dim=16, approximator_layers=1)
_add("auraflow", "transformer", "AuraFlowTransformer2DModel", lambda: {**seen(4, 8, 8, words=5), "timestep": torch.rand(2)}, num_attention_heads=2, attention_head_dim=16, sample_size=8, num_mmdit_layers=1, num_single_dit_layers=1, joint_attention_dim=16, caption_projection_dim=32, pos_embed_max_size=16)
_add("sana", "transformer", "SanaTransformer2DModel", lambda: seen(4, 8, 8, words=5), **HEADS, in_channels=4, out_channels=4, num_cross_attention_heads=2, cross_attention_head_dim=16, cross_attention_dim=32, caption_channels=16, sample_size=8)
_add("lumina2", "transformer", "Lumina2Transformer2DModel", lambda: {**seen(4, 8, 8, words=5), "timestep": torch.rand(2), "encoder_attention_mask": torch.ones(2, 5, dtype=torch.bool)}, sample_size=8, in_channels=4, hidden_size=24, num_layers=1, num_refiner_layers=1, num_attention_heads=2, num_kv_heads=1, multiple_of=8, axes_dim_rope=(4, 4, 4), axes_lens=(16, 16, 16), cap_feat_dim=16)
_add("hunyuan_dit", "transformer", "HunyuanDiT2DModel", lambda: {**seen(4, 8, 8, words=5), "timestep": torch.rand(2)} | dict(text_embedding_mask=torch.ones(2, 5), encoder_hidden_states_t5=torch.randn(2, 6, 16), text_embedding_mask_t5=torch.ones(2, 6), image_meta_size=torch.rand(2, 6), style=torch.zeros(2, dtype=torch.long), image_rotary_emb=[torch.ones(16, 16), torch.zeros(16, 16)]), **HEADS, in_channels=4, patch_size=2, sample_size=8, hidden_size=32, cross_attention_dim=16, cross_attention_dim_t5=16, pooled_projection_dim=16, text_len=5, text_len_t5=6)
_add("cogview4", "transformer", "CogView4Transformer2DModel", lambda: seen(4, 8, 8, words=5, original_size=torch.rand(2, 2), target_size=torch.rand(2, 2), crop_coords=torch.rand(2, 2)), **HEADS, in_channels=4, out_channels=4, text_embed_dim=16, time_embed_dim=16, condition_dim=8, pos_embed_max_size=8, sample_size=8, rope_axes_dim=(8, 8))
_add("qwen_image", "transformer", "QwenImageTransformer2DModel", lambda: {**seen(16, 16, words=5), "timestep": torch.rand(2), "encoder_hidden_states_mask": torch.ones(2, 5, dtype=torch.bool), "img_shapes": [(1, 4, 4)] * 2}, **HEADS, in_channels=16, out_channels=4, joint_attention_dim=16, axes_dims_rope=(4, 6, 6))
_add("wan", "video", "WanTransformer3DModel", lambda: seen(4, 2, 8, 8, words=5), ci=True, **HEADS, in_channels=4, out_channels=4, text_dim=16, freq_dim=16, ffn_dim=32, rope_max_seq_len=16)
_add("cogvideox", "video", "CogVideoXTransformer3DModel", lambda: seen(3, 4, 8, 8, words=5), **HEADS, in_channels=4, out_channels=4, time_embed_dim=8, text_embed_dim=16, sample_width=8, sample_height=8, sample_frames=9, max_text_seq_length=5)
_add("cogvideox_rotary", "video", "CogVideoXTransformer3DModel", lambda: seen(3, 4, 8, 8, words=5, image_rotary_emb=(torch.ones(48, 16), torch.zeros(48, 16))), **HEADS, in_channels=4, out_channels=4, time_embed_dim=8, text_embed_dim=16, sample_width=8, sample_height=8, sample_frames=9, max_text_seq_length=5, use_rotary_positional_embeddings=True)
_add("latte", "video", "LatteTransformer3DModel", lambda: seen(4, 2, 8, 8, words=5), **HEADS, in_channels=4, out_channels=8, cross_attention_dim=32, sample_size=8, patch_size=2, norm_type="ada_norm_single", num_embeds_ada_norm=1000, norm_elementwise_affine=False, caption_channels=16, video_length=2, attention_bias=True)
_add("ltx", "video", "LTXVideoTransformer3DModel", lambda: seen(32, 4, words=5, encoder_attention_mask=torch.ones(2, 5), num_frames=2, height=4, width=4, rope_interpolation_scale=(1.0, 1.0, 1.0)), **HEADS, in_channels=4, out_channels=4, cross_attention_dim=32, caption_channels=16)
_add("hunyuan_video", "video", "HunyuanVideoTransformer3DModel", lambda: seen(4, 2, 8, 8, words=5, encoder_attention_mask=torch.ones(2, 5), pooled_projections=torch.randn(2, 16), guidance=torch.rand(2)), **{**HEADS, "num_layers": 1}, in_channels=4, out_channels=4, num_single_layers=1, num_refiner_layers=1, text_embed_dim=16, pooled_projection_dim=16, rope_axes_dim=(4, 6, 6))
_add("mochi", "video", "MochiTransformer3DModel", lambda: seen(4, 2, 8, 8, words=5, encoder_attention_mask=torch.ones(2, 5, dtype=torch.bool)), **HEADS, in_channels=4, pooled_projection_dim=16, text_embed_dim=16, time_embed_dim=8)
_add("stable_audio", "sound", "StableAudioDiTModel", lambda: seen(4, 12, words=5, global_hidden_states=torch.randn(2, 1, 16), rotary_embedding=(torch.ones(13, 8), torch.zeros(13, 8))), **HEADS, sample_size=12, in_channels=4, num_key_value_attention_heads=1, out_channels=4, cross_attention_dim=16, time_proj_dim=8, global_states_input_dim=16, cross_attention_input_dim=16)
_add("prior", "transformer", "PriorTransformer", lambda: {"hidden_states": torch.randn(2, 16), "timestep": when(), "proj_embedding": torch.randn(2, 16), "encoder_hidden_states": torch.randn(2, 5, 16)}, **HEADS, embedding_dim=16, num_embeddings=5, additional_embeddings=4)

# autoencoders


def sampled(*shape: int, **decode: Any) -> Batch:
    """Samples (2, *shape); `decode`: what decoding needs besides."""
    return {"sample": torch.randn(2, *shape), "decode": decode}


KL: dict[str, Any] = {"block_out_channels": (8, 16), "norm_num_groups": 4}
_add("autoencoder_kl", "autoencoder", "AutoencoderKL", partial(sampled, 3, 16, 16), ci=True, loss=encoded, **KL, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
_add("autoencoder_kl_asymmetric", "autoencoder", "AsymmetricAutoencoderKL", partial(sampled, 3, 16, 16), loss=encoded, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, down_block_out_channels=(8, 16), up_block_out_channels=(8, 16), norm_num_groups=4)
_add("autoencoder_kl_temporal", "autoencoder", "AutoencoderKLTemporalDecoder", partial(sampled, 3, 16, 16, num_frames=2), loss=encoded, block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2)
_add("autoencoder_tiny", "autoencoder", "AutoencoderTiny", lambda: {"sample": torch.randn(2, 3, 16, 16)}, encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 2), num_decoder_blocks=(2, 1))
_add("autoencoder_dc", "autoencoder", "AutoencoderDC", lambda: {"sample": torch.randn(2, 3, 16, 16)}, latent_channels=4, attention_head_dim=4, encoder_block_types=("ResBlock", "EfficientViTBlock"), decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_block_out_channels=(8, 16), decoder_block_out_channels=(8, 16), encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1), encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)))
_add("autoencoder_kl_wan", "autoencoder", "AutoencoderKLWan", partial(sampled, 3, 5, 16, 16), loss=encoded, base_dim=4, z_dim=4, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[True])
_add("autoencoder_kl_cogvideox", "autoencoder", "AutoencoderKLCogVideoX", partial(sampled, 3, 5, 16, 16), loss=encoded, down_block_types=("CogVideoXDownBlock3D",) * 2, up_block_types=("CogVideoXUpBlock3D",) * 2, block_out_channels=(8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2)
_add("autoencoder_oobleck", "autoencoder", "AutoencoderOobleck", partial(sampled, 2, 64), loss=encoded, encoder_hidden_size=8, downsampling_ratios=[2, 4], channel_multiples=[1, 2], decoder_channels=8, decoder_input_channels=4)
_add("vq", "autoencoder", "VQModel", lambda: {"sample": torch.randn(2, 3, 16, 16)}, **KL, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, num_vq_embeddings=12)

# adapters and control


def _controlled() -> Batch:
    return {**noisy(4, 16, 16, words=5), "controlnet_cond": torch.randn(2, 3, 32, 32)}


CONTROL = {key: value for key, value in CONDITION.items() if key not in ("up_block_types", "sample_size")}


def _control_loss(model: Any, batch: Batch) -> torch.Tensor:
    down, mid = model(**batch, return_dict=False)
    return torch.stack([tensor.square().mean() for tensor in (*down, mid)]).sum()


_add("controlnet", "control", "ControlNetModel", _controlled, loss=_control_loss, **CONTROL, conditioning_embedding_out_channels=(8, 16))
_add("controlnet_sd3", "control", "SD3ControlNetModel", lambda: seen(4, 8, 8, words=5, pooled_projections=torch.randn(2, 16), controlnet_cond=torch.randn(2, 4, 8, 8)), **HEADS, **JOINT, sample_size=8, in_channels=4, out_channels=4, caption_projection_dim=32, pos_embed_max_size=8)
_add("controlnet_flux", "control", "FluxControlNetModel", lambda: flux_batch(pooled_projections=torch.randn(2, 16), controlnet_cond=torch.randn(2, 16, 4)), **FLUX, **JOINT)
_add("t2i_adapter", "control", "T2IAdapter", lambda: {"x": torch.randn(2, 3, 32, 32)}, loss=lambda model, batch: torch.stack([found.square().mean() for found in model(**batch)]).sum(), channels=[8, 16], num_res_blocks=1, downscale_factor=4)
