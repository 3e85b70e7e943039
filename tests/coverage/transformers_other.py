"""Models of transformers over sound, several modes at once, time series, layouts, tables and trajectories."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from tests.coverage.registry import Made, Source
from tests.coverage.tiny import WORDS, given, padded, part, pictures, tiny, tokens

MODELS = Source("transformers_other")
Batch = dict[str, Any]


def _build(class_name: str, batch: Callable[[], Batch], loss: Any, own: dict[str, Any]) -> Made:
    made = given(tiny(class_name, **own), batch)
    return {**made, "loss": loss} if loss else made


def _add(
    name: str,
    family: str,
    class_name: str,
    batch: Callable[[], Batch],
    ci: bool = False,
    criterion: Any = None,
    **own: Any,
) -> None:
    MODELS.add(name, family, partial(_build, class_name, batch, criterion, own), ci)


def first_output(model: Any, batch: Batch) -> torch.Tensor:
    """The mean square of the first output."""
    output = model(**batch)
    first: torch.Tensor = output[0]
    return first.float().square().mean()


# sound as a wave

WAVE: dict[str, Any] = {
    "conv_dim": [16, 16, 16],
    "conv_kernel": [8, 4, 4],
    "conv_stride": [4, 4, 4],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
    "apply_spec_augment": False,
}


def spoken(length: int = 800) -> Batch:
    """Waves with transcripts."""
    return {"input_values": torch.randn(2, length), "labels": torch.randint(4, 20, (2, 4))}


def sounds(length: int = 800) -> Batch:
    """Waves with a class each."""
    return {"input_values": torch.randn(2, length), "labels": torch.randint(0, 5, (2,))}


CTC = {**WAVE, "ctc_zero_infinity": True, "ctc_loss_reduction": "mean"}
_add("wav2vec2", "wave", "Wav2Vec2ForCTC", spoken, ci=True, **CTC)
_add(
    "wav2vec2_masked",
    "wave",
    "Wav2Vec2ForCTC",
    spoken,
    **{**CTC, "apply_spec_augment": True, "mask_time_prob": 0.2, "mask_time_length": 2},
)
_add("wav2vec2_layerdrop", "wave", "Wav2Vec2ForCTC", spoken, **{**CTC, "layerdrop": 0.3})
_add("wav2vec2_classes", "wave", "Wav2Vec2ForSequenceClassification", sounds, **WAVE)
_add("hubert", "wave", "HubertForCTC", spoken, **CTC)
_add("wavlm", "wave", "WavLMForCTC", spoken, **CTC)
_add("unispeech", "wave", "UniSpeechForCTC", spoken, **CTC)
_add("unispeech_sat", "wave", "UniSpeechSatForSequenceClassification", sounds, **WAVE)
_add("data2vec_audio", "wave", "Data2VecAudioForCTC", spoken, **CTC)
_add("sew", "wave", "SEWForCTC", spoken, **CTC, squeeze_factor=2)
_add("sew_d", "wave", "SEWDForCTC", spoken, **CTC, squeeze_factor=2, max_position_embeddings=64, position_buckets=16)
_add("wav2vec2_conformer", "wave", "Wav2Vec2ConformerForCTC", spoken, **CTC, conv_depthwise_kernel_size=5)

# sound as a spectrogram


def transcribed(name: str, bands: int, frames: int) -> Batch:
    """Spectrograms with transcripts."""
    shape = (2, bands, frames) if name == "input_features" and bands == 16 else (2, frames, bands)
    return {name: torch.randn(shape), "labels": tokens(length=6)}


_add(
    "whisper",
    "spectrogram",
    "WhisperForConditionalGeneration",
    partial(transcribed, "input_features", 16, 40),
    ci=True,
    num_mel_bins=16,
    max_source_positions=20,
    max_target_positions=16,
    begin_suppress_tokens=None,
)
_add(
    "speech_to_text",
    "spectrogram",
    "Speech2TextForConditionalGeneration",
    partial(transcribed, "input_features", 12, 40),
    input_feat_per_channel=12,
    conv_channels=16,
    max_source_positions=40,
    max_target_positions=16,
    num_conv_layers=2,
    conv_kernel_sizes=[3, 3],
)
_add(
    "audio_spectrogram_transformer",
    "spectrogram",
    "ASTForAudioClassification",
    lambda: {"input_values": torch.randn(2, 24, 16), "labels": torch.randint(0, 5, (2,))},
    max_length=24,
    num_mel_bins=16,
    frequency_stride=8,
    time_stride=8,
)
_add(
    "wav2vec2_bert",
    "spectrogram",
    "Wav2Vec2BertForCTC",
    lambda: {"input_features": torch.randn(2, 24, 16), "labels": torch.randint(4, 20, (2, 4))},
    feature_projection_input_dim=16,
    layerdrop=0.0,
    apply_spec_augment=False,
    add_adapter=False,
    conv_depthwise_kernel_size=5,
    left_max_position_embeddings=8,
    right_max_position_embeddings=4,
)
_add(
    "moonshine",
    "wave",
    "MoonshineForConditionalGeneration",
    lambda: {"input_values": torch.randn(2, 2000), "labels": tokens(length=6)},
    encoder_num_hidden_layers=1,
    decoder_num_hidden_layers=1,
    encoder_num_attention_heads=4,
    decoder_num_attention_heads=4,
    encoder_num_key_value_heads=4,
    decoder_num_key_value_heads=4,
)
_add(
    "encodec",
    "codecs",
    "EncodecModel",
    lambda: {"input_values": torch.randn(1, 1, 640)},
    criterion=lambda model, batch: model(**batch).audio_values.square().mean(),
    hidden_size=16,
    num_filters=4,
    codebook_size=16,
    codebook_dim=16,
    upsampling_ratios=[4, 2],
    num_lstm_layers=1,
    target_bandwidths=[60.0],
)
_add(
    "dac",
    "codecs",
    "DacModel",
    lambda: {"input_values": torch.randn(1, 1, 640)},
    criterion=lambda model, batch: (lambda o: o.audio_values.square().mean() + o.loss.mean())(model(**batch)),
    encoder_hidden_size=4,
    downsampling_ratios=[2, 4],
    decoder_hidden_size=16,
    n_codebooks=2,
    codebook_size=16,
    codebook_dim=4,
    upsampling_ratios=[4, 2],
    hidden_size=16,
)
_add(
    "univnet",
    "codecs",
    "UnivNetModel",
    lambda: {"input_features": torch.randn(2, 8, 10)},
    criterion=first_output,
    model_hidden_channels=8,
    num_mel_bins=10,
    kernel_predictor_hidden_channels=8,
    model_in_channels=8,
)

# pictures with words


def captioned(size: int = 32) -> Batch:
    """Pictures with a padded text each, for the contrastive loss."""
    made = padded(tokens(length=8))
    del made["labels"]
    made["input_ids"][:, -1] = 2
    return {**made, "pixel_values": pictures(size=size), "return_loss": True}


TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "projection_dim": 16,
}
TEXT = {
    **TOWER,
    "vocab_size": WORDS,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}
CLIP = {"text_config": TEXT, "vision_config": VISION, "projection_dim": 16}
_add("clip", "pictures and words", "CLIPModel", captioned, ci=True, **CLIP)
_add(
    "siglip",
    "pictures and words",
    "SiglipModel",
    captioned,
    text_config={**TEXT, "projection_size": 32},
    vision_config=VISION,
)
_add("chinese_clip", "pictures and words", "ChineseCLIPModel", captioned, **CLIP)
_add("metaclip_2", "pictures and words", "MetaClip2Model", captioned, **CLIP)
_add(
    "altclip",
    "pictures and words",
    "AltCLIPModel",
    captioned,
    **{**CLIP, "text_config": {**TEXT, "project_dim": 16, "max_position_embeddings": 40}},
)
_add("blip", "pictures and words", "BlipModel", captioned, **CLIP)
_add(
    "blip_caption",
    "pictures and words",
    "BlipForConditionalGeneration",
    lambda: {"pixel_values": pictures(), "input_ids": (ids := tokens()), "labels": ids},
    **{**CLIP, "text_config": {**TEXT, "encoder_hidden_size": 32, "bos_token_id": 1, "sep_token_id": 2}},
)
_add(
    "groupvit",
    "pictures and words",
    "GroupViTModel",
    captioned,
    text_config=TEXT,
    vision_config={**VISION, "depths": [1, 1, 1], "num_group_tokens": [8, 4, 0], "num_output_groups": [8, 4, 4]},
    projection_dim=16,
    projection_intermediate_dim=16,
)
_add("owlvit", "pictures and words", "OwlViTModel", captioned, **CLIP)
_add(
    "clipseg",
    "pictures and words",
    "CLIPSegForImageSegmentation",
    lambda: {"input_ids": tokens(), "pixel_values": pictures(), "labels": torch.rand(2, 32, 32)},
    **CLIP,
    extract_layers=[0, 1],
    reduce_dim=16,
    decoder_num_attention_heads=4,
    decoder_intermediate_size=16,
)
_add(
    "clap",
    "sound and words",
    "ClapModel",
    lambda: {
        "input_ids": tokens(),
        "input_features": torch.randn(2, 1, 64, 16),
        "is_longer": torch.zeros(2, 1, dtype=torch.bool),
        "return_loss": True,
    },
    text_config={**TEXT, "max_position_embeddings": 40},
    audio_config={
        "patch_embeds_hidden_size": 16,
        "spec_size": 32,
        "num_mel_bins": 16,
        "window_size": 4,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "hidden_size": 32,
        "projection_dim": 16,
        "enable_fusion": False,
        "aff_block_r": 2,
    },
    projection_dim=16,
)
_add(
    "flava",
    "pictures and words",
    "FlavaForPreTraining",
    lambda: {
        "input_ids": (ids := tokens()),
        "input_ids_masked": ids,
        "pixel_values": pictures(),
        "codebook_pixel_values": pictures(),
        "mlm_labels": ids,
        "bool_masked_pos": torch.arange(16).remainder(2).bool().view(1, 4, 4).expand(2, -1, -1),
        "itm_labels": torch.ones(2, dtype=torch.long),
        "return_loss": True,
    },
    text_config=TEXT,
    image_config={**VISION, "mask_token": True, "vocab_size": 12},
    multimodal_config=TOWER,
    image_codebook_config={"num_groups": 2, "hidden_size": 4, "vocab_size": 12, "num_blocks_per_group": 1},
    hidden_size=32,
    projection_dim=16,
)
_add(
    "vilt",
    "pictures and words",
    "ViltForImageAndTextRetrieval",
    lambda: {"input_ids": tokens(), "pixel_values": pictures()},
    criterion=first_output,
    max_image_length=-1,
)
_add(
    "visual_bert",
    "pictures and words",
    "VisualBertForPreTraining",
    lambda: {
        "input_ids": (ids := tokens()),
        "visual_embeds": torch.randn(2, 3, 16),
        "visual_token_type_ids": torch.ones(2, 3, dtype=torch.long),
        "visual_attention_mask": torch.ones(2, 3),
        "attention_mask": torch.ones(2, 8),
        "labels": torch.cat([ids, torch.full((2, 3), -100)], 1),
    },
    visual_embedding_dim=16,
)
_add(
    "bridgetower",
    "pictures and words",
    "BridgeTowerForMaskedLM",
    lambda: {"input_ids": (ids := tokens()), "pixel_values": pictures(), "labels": ids},
    text_config={**TEXT, "hidden_size": 64, "max_position_embeddings": 40},
    vision_config={**VISION, "hidden_size": 64},
    hidden_size=64,
)
_add(
    "lxmert",
    "pictures and words",
    "LxmertForPreTraining",
    lambda: {
        "input_ids": (ids := tokens()),
        "visual_feats": torch.randn(2, 3, 16),
        "visual_pos": torch.rand(2, 3, 4),
        "labels": ids,
        "matched_label": torch.randint(0, 2, (2,)),
    },
    l_layers=1,
    x_layers=1,
    r_layers=1,
    visual_feat_dim=16,
    task_obj_predict=False,
    task_qa=False,
)
_add(
    "kosmos2",
    "pictures and words",
    "Kosmos2ForConditionalGeneration",
    lambda: {
        "input_ids": (ids := tokens()),
        "pixel_values": pictures(),
        "labels": ids,
        "image_embeds_position_mask": torch.arange(8).lt(4).expand(2, -1),
    },
    text_config={
        "vocab_size": WORDS,
        "embed_dim": 32,
        "layers": 2,
        "ffn_dim": 48,
        "attention_heads": 4,
        "max_position_embeddings": 32,
    },
    vision_config=VISION,
    latent_query_num=4,
)
_add(
    "git",
    "pictures and words",
    "GitForCausalLM",
    lambda: {"input_ids": (ids := tokens()), "pixel_values": pictures(), "labels": ids},
    vision_config=VISION,
)
_add(
    "pix2struct",
    "pictures and words",
    "Pix2StructForConditionalGeneration",
    lambda: {
        "flattened_patches": torch.cat([torch.randint(0, 4, (2, 6, 2)).float(), torch.randn(2, 6, 48)], 2),
        "attention_mask": torch.ones(2, 6),
        "labels": tokens(),
    },
    vision_config={
        "hidden_size": 32,
        "patch_size": 4,
        "patch_embed_hidden_size": 48,
        "d_ff": 48,
        "d_kv": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "seq_len": 8,
    },
    text_config={
        "vocab_size": WORDS,
        "hidden_size": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "decoder_start_token_id": 1,
        "pad_token_id": 0,
    },
)


def _seen(class_name: str, text: str, count: int, **own: Any) -> Made:
    """Pictures told to a language model: `count` tokens of each sequence stand for the picture."""
    language = part(text, vocab_size=WORDS + 1)
    model = tiny(
        class_name,
        text_config=language,
        vision_config=part("CLIPVisionConfig"),
        image_token_index=WORDS,
        image_token_id=WORDS,
        **own,
    )

    def batch() -> Batch:
        ids = torch.cat([torch.full((2, count), WORDS), tokens()], 1)
        return {"input_ids": ids, "pixel_values": pictures(), "labels": ids.masked_fill(ids == WORDS, -100)}

    return given(model, batch)


MODELS.add(
    "llava",
    "pictures and words",
    partial(_seen, "LlavaForConditionalGeneration", "LlamaConfig", 16, image_seq_length=16),
)
MODELS.add(
    "vipllava",
    "pictures and words",
    partial(
        _seen,
        "VipLlavaForConditionalGeneration",
        "LlamaConfig",
        16,
        image_seq_length=16,
        vision_feature_layers=[-1, -2],
    ),
)


def _encoder_decoder(vision: bool) -> Made:
    from transformers import BertLMHeadModel, EncoderDecoderModel, VisionEncoderDecoderModel

    decoder = BertLMHeadModel(part("BertConfig", is_decoder=True, add_cross_attention=True))
    whole: Any = VisionEncoderDecoderModel if vision else EncoderDecoderModel
    model = whole(encoder=tiny("ViTModel" if vision else "BertModel"), decoder=decoder).train()
    model.config.decoder_start_token_id, model.config.pad_token_id = 1, 0
    return given(
        model, lambda: ({"pixel_values": pictures()} if vision else {"input_ids": tokens()}) | {"labels": tokens()}
    )


MODELS.add("encoder_decoder", "joined models", partial(_encoder_decoder, False))
MODELS.add("vision_encoder_decoder", "joined models", partial(_encoder_decoder, True))
_add("trocr", "joined models", "TrOCRForCausalLM", lambda: {"input_ids": (ids := tokens()), "labels": ids})

# documents


def _boxes(rows: int = 2, length: int = 8) -> torch.Tensor:
    corner = torch.randint(0, 400, (rows, length, 2))
    return torch.cat([corner, corner + torch.randint(1, 400, (rows, length, 2))], -1)


_add(
    "layoutlm",
    "documents",
    "LayoutLMForMaskedLM",
    lambda: {"input_ids": (ids := tokens()), "bbox": _boxes(), "labels": ids},
    max_2d_position_embeddings=1024,
)
_add(
    "layoutlmv3",
    "documents",
    "LayoutLMv3ForTokenClassification",
    lambda: {
        "input_ids": tokens(),
        "bbox": _boxes(),
        "pixel_values": pictures(),
        "labels": torch.randint(0, 5, (2, 8)),
    },
    input_size=32,
    coordinate_size=4,
    shape_size=8,
    max_2d_position_embeddings=1024,
    rel_pos_bins=8,
    rel_2d_pos_bins=8,
    max_position_embeddings=40,
)
_add(
    "lilt",
    "documents",
    "LiltForTokenClassification",
    lambda: {"input_ids": tokens(), "bbox": _boxes(), "labels": torch.randint(0, 5, (2, 8))},
    max_2d_position_embeddings=1024,
    channel_shrink_ratio=4,
    max_position_embeddings=40,
    hidden_size=48,
)
_add(
    "bros",
    "documents",
    "BrosForTokenClassification",
    lambda: {"input_ids": tokens(), "bbox": torch.rand(2, 8, 4), "labels": torch.randint(0, 5, (2, 8))},
    dim_bbox=4,
)
_add(
    "markuplm",
    "documents",
    "MarkupLMForTokenClassification",
    lambda: {"input_ids": tokens(), "labels": torch.randint(0, 5, (2, 8))},
    max_position_embeddings=40,
    max_depth=4,
    xpath_unit_hidden_size=4,
)
_add(
    "tapas",
    "documents",
    "TapasForMaskedLM",
    lambda: {"input_ids": (ids := tokens()), "token_type_ids": torch.zeros(2, 8, 7, dtype=torch.long), "labels": ids},
    type_vocab_sizes=[3, 8, 8, 2, 8, 8, 8],
)
_add(
    "perceiver",
    "perceiver",
    "PerceiverForMaskedLM",
    lambda: {"inputs": (ids := tokens(length=8)), "labels": ids},
    d_model=32,
    d_latents=32,
    num_latents=4,
    num_blocks=1,
    num_self_attends_per_block=2,
    num_self_attention_heads=4,
    num_cross_attention_heads=4,
    qk_channels=32,
    v_channels=32,
    max_position_embeddings=8,
)

# time series and trajectories


def series(length: int = 16, ahead: int = 4, lags: int = 3) -> Batch:
    """Past and future values with two features of time; every value observed."""
    return {
        "past_values": torch.rand(2, length + lags) + 0.5,
        "past_time_features": torch.randn(2, length + lags, 2),
        "past_observed_mask": torch.ones(2, length + lags),
        "future_values": torch.rand(2, ahead) + 0.5,
        "future_time_features": torch.randn(2, ahead, 2),
    }


SERIES = {
    "prediction_length": 4,
    "context_length": 16,
    "lags_sequence": [1, 2, 3],
    "num_time_features": 2,
    "d_model": 16,
}
_add("time_series_transformer", "time series", "TimeSeriesTransformerForPrediction", series, ci=True, **SERIES)
_add("informer", "time series", "InformerForPrediction", series, **SERIES)
_add("autoformer", "time series", "AutoformerForPrediction", series, **SERIES, label_length=4, moving_average=5)
PATCHES = {"num_input_channels": 2, "context_length": 16, "prediction_length": 4, "patch_length": 4, "patch_stride": 4}


def channels(target: bool = True) -> Batch:
    """Two channels, past and future."""
    return {"past_values": torch.randn(3, 16, 2), **({"future_values": torch.randn(3, 4, 2)} if target else {})}


_add("patchtst", "time series", "PatchTSTForPrediction", channels, ci=True, **PATCHES, loss="mse", d_model=16)
_add(
    "patchtst_pretraining",
    "time series",
    "PatchTSTForPretraining",
    partial(channels, False),
    **PATCHES,
    d_model=16,
    random_mask_ratio=0.4,
)
_add(
    "patchtsmixer",
    "time series",
    "PatchTSMixerForPrediction",
    channels,
    **PATCHES,
    d_model=16,
    mode="mix_channel",
    gated_attn=True,
)
_add(
    "timesfm",
    "time series",
    "TimesFmModelForPrediction",
    lambda: {
        "past_values": [torch.randn(32), torch.randn(32)],
        "freq": torch.zeros(2, 1, dtype=torch.long),
        "future_values": torch.randn(2, 8),
    },
    context_length=32,
    patch_length=8,
    horizon_length=8,
)
_add(
    "decision_transformer",
    "trajectories",
    "DecisionTransformerModel",
    lambda: {
        "states": torch.randn(2, 5, 6),
        "actions": torch.randn(2, 5, 3),
        "rewards": torch.randn(2, 5, 1),
        "returns_to_go": torch.randn(2, 5, 1),
        "timesteps": torch.arange(5).expand(2, -1),
        "attention_mask": torch.ones(2, 5),
    },
    criterion=lambda model, batch: (model(**batch).action_preds - batch["actions"]).square().mean(),
    state_dim=6,
    act_dim=3,
    max_ep_len=20,
)

# speech from text

_add(
    "vits",
    "speech",
    "VitsModel",
    lambda: {"input_ids": tokens(rows=1, words=30)},
    criterion=first_output,
    vocab_size=38,
    hidden_size=16,
    ffn_dim=16,
    upsample_initial_channel=16,
    upsample_rates=[4, 4],
    upsample_kernel_sizes=[8, 8],
    spectrogram_bins=9,
    flow_size=8,
    prior_encoder_num_wavenet_layers=1,
    posterior_encoder_num_wavenet_layers=1,
)
_add(
    "musicgen",
    "codecs",
    "MusicgenForCausalLM",
    lambda: {"input_ids": torch.randint(0, 20, (4, 6)), "labels": torch.randint(0, 20, (2, 6, 2))},
    num_codebooks=2,
    vocab_size=20,
    pad_token_id=20,
    bos_token_id=20,
)
