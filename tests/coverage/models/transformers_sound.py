"""Models of transformers over sound: waves, spectrograms, codecs."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.coverage.models.pictures import Batch, first_output
from tests.coverage.models.tiny import adder, tokens
from tests.coverage.registry import Source

MODELS = Source("transformers_sound")
_add = adder(MODELS)


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
_add("wav2vec2", "wave", "Wav2Vec2ForCTC", spoken, **CTC, ci=True, refused="takes a shape from a value")
_add(
    "wav2vec2_masked",
    "wave",
    "Wav2Vec2ForCTC",
    spoken,
    **{**CTC, "apply_spec_augment": True, "mask_time_prob": 0.2, "mask_time_length": 2},
)
_add("wav2vec2_layerdrop", "wave", "Wav2Vec2ForCTC", spoken, **{**CTC, "layerdrop": 0.3})
_add("wav2vec2_classes", "wave", "Wav2Vec2ForSequenceClassification", sounds, **WAVE, ci=True)
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
