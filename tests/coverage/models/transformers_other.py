"""Models of transformers over documents, time series, trajectories; speech from text."""

from __future__ import annotations

from functools import partial

import torch

from tests.coverage.models.pictures import Batch, first_output
from tests.coverage.models.tiny import adder, pictures, tokens
from tests.coverage.registry import Source

MODELS = Source("transformers_other")
_add = adder(MODELS)


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
_add("time_series_transformer", "time series", "TimeSeriesTransformerForPrediction", series, **SERIES)
_add("informer", "time series", "InformerForPrediction", series, **SERIES)
_add("autoformer", "time series", "AutoformerForPrediction", series, **SERIES, label_length=4, moving_average=5)
PATCHES = {"num_input_channels": 2, "context_length": 16, "prediction_length": 4, "patch_length": 4, "patch_stride": 4}


def channels(target: bool = True) -> Batch:
    """Two channels, past and future."""
    return {"past_values": torch.randn(3, 16, 2), **({"future_values": torch.randn(3, 4, 2)} if target else {})}


_add("patchtst", "time series", "PatchTSTForPrediction", channels, **PATCHES, loss="mse", d_model=16, ci=True)
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
