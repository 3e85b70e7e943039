"""Batches with sequences of another length."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from roam_lab.capture.sequence_length import longest_sequence, sequence_length_of, with_sequence_length
from roam_lab.errors import InputError

IDS = torch.arange(6).reshape(2, 3)


def test_all_that_is_as_long_follows() -> None:
    batch = {
        "ids": IDS,
        "labels": IDS,
        "embedded": torch.zeros(2, 3, 8),
        "mask": torch.zeros(2, 1, 3, 3),
        "decoder": torch.zeros(2, 9, dtype=torch.long),
        "class": torch.zeros(2, dtype=torch.long),
        "weights": torch.zeros(3, 3),
    }
    assert sequence_length_of(batch) == 3
    longer = with_sequence_length(batch, 5)
    assert longer["ids"].tolist() == [[0, 1, 2, 0, 1], [3, 4, 5, 3, 4]]
    assert {key: tuple(tensor.shape) for key, tensor in longer.items()} == {
        "ids": (2, 5),
        "labels": (2, 5),
        "embedded": (2, 5, 8),
        "mask": (2, 1, 5, 5),
        "decoder": (2, 9),
        "class": (2,),
        "weights": (3, 3),
    }
    assert with_sequence_length(batch, 1)["ids"].tolist() == [[0], [3]]
    assert IDS.shape == (2, 3)


def test_a_batch_without_data() -> None:
    longer = with_sequence_length(torch.empty(4, 3, dtype=torch.long, device="meta"), 6)
    assert (longer.shape, longer.device.type) == ((4, 6), "meta")


@pytest.mark.parametrize(
    "batch",
    ["text", torch.zeros(4, 3, 224, 224), torch.zeros(4, 16), torch.zeros(4, 1, dtype=torch.long), IDS[:, 0]],
    ids=["text", "images", "features", "classes in a column", "classes"],
)
def test_a_batch_without_sequences(batch: Any) -> None:
    assert sequence_length_of(batch) is None
    with pytest.raises(InputError, match="cannot be given"):
        with_sequence_length(batch, 2)


def test_no_tokens_are_refused() -> None:
    with pytest.raises(InputError, match="length of 0"):
        with_sequence_length(IDS, 0)


def test_what_the_config_says() -> None:
    config = GPT2Config(n_layer=1, n_embd=8, n_head=2, n_positions=48, vocab_size=16)
    assert longest_sequence(GPT2LMHeadModel(config)) == 48
    assert longest_sequence(torch.nn.Linear(2, 2)) is None
