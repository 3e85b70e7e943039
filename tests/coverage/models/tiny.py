"""Tiny configurations of transformers, and batches for them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers

from tests.coverage.registry import Made, Source

WORDS = 96
"""Size of every vocabulary. 0 pads, 1 begins, 2 ends."""

USUAL: dict[str, Any] = {
    "vocab_size": WORDS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "type_vocab_size": 2,
    "max_position_embeddings": 32,
    "n_positions": 32,
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "embedding_size": 16,
    "head_dim": 8,
    "d_kv": 8,
    "intermediate_size": 48,
    "d_ff": 48,
    "ffn_dim": 48,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers", "layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "attention_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    "num_key_value_heads": 2,
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    "num_experts_per_tok": 2,
    "image_size": 32,
    "patch_size": 8,
    "num_channels": 3,
    "num_labels": 5,
    "use_cache": False,
}
"""Values for the names that many configurations share; each gets those that it has."""


def configured(config_class: type, **own: Any) -> Any:
    """A configuration with the usual tiny values wherever it has a field of that name, and its `own`."""
    names = set(inspect.signature(config_class.__init__).parameters)
    if dataclasses.is_dataclass(config_class):
        names |= {field.name for field in dataclasses.fields(config_class)}
    other = getattr(config_class, "attribute_map", {})
    usual = {name: value for name, value in USUAL.items() if name in names and other.get(name) not in names}
    usual |= {other[name]: value for name, value in USUAL.items() if name in other and other[name] in names}
    if hasattr(config_class, "num_labels"):
        usual["num_labels"] = USUAL["num_labels"]
    return config_class(**{**usual, **own})


def tiny(class_name: str, **own: Any) -> Any:
    """The model of transformers with that name, tiny, in training mode. `own`: fields of its configuration."""
    model_class = getattr(transformers, class_name)
    return model_class(configured(model_class.config_class, **own)).train()


def part(class_name: str, **own: Any) -> Any:
    """A tiny configuration of that class: part of another configuration."""
    return configured(getattr(transformers, class_name), **own)


def given(model: Any, batch: Callable[[], dict[str, Any]]) -> Made:
    """The model with two batches, and its own loss."""
    return {"model": model, "batches": [batch(), batch()]}


def adder(models: Source) -> Callable[..., None]:
    """A function that adds a model of transformers to `models`.

    Its arguments: name, family, class name, a function that makes a batch; `ci`; `refused`; `criterion`, the loss where
    the model has none; all else are fields of the configuration.
    """

    def build(class_name: str, batch: Callable[[], dict[str, Any]], criterion: Any, own: dict[str, Any]) -> Made:
        made = given(tiny(class_name, **own), batch)
        return {**made, "loss": criterion} if criterion else made

    def add(
        name: str,
        family: str,
        class_name: str,
        batch: Any,
        ci: bool = False,
        refused: str = "",
        criterion: Any = None,
        **own: Any,
    ) -> None:
        models.add(name, family, partial(build, class_name, batch, criterion, own), ci, refused)

    return add


def tokens(rows: int = 2, length: int = 8, words: int = WORDS) -> torch.Tensor:
    """Token numbers without the special ones."""
    return torch.randint(4, words, (rows, length))


def padded(ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """The ids with the end of each row but the first padded: input_ids, attention_mask, and labels that skip it."""
    rows, length = ids.shape
    kept = torch.arange(length) < length - 2 * torch.arange(rows)[:, None].clamp(max=2)
    return {
        "input_ids": ids * kept,
        "attention_mask": kept.long(),
        "labels": torch.where(kept, ids, torch.full_like(ids, -100)),
    }


def pictures(rows: int = 2, size: int = 32, channels: int = 3) -> torch.Tensor:
    """Random images."""
    return torch.randn(rows, channels, size, size)
