"""GPT-2 124M as transformers configures it: random weights, dropout on, tied embeddings, AdamW, 128 tokens.

roam profile examples/gpt2.py:factory_batch1 -o gpt2.json.gz
roam verify examples/gpt2.py:factory_batch4
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

TOKENS = 128


def factory_batch1() -> dict[str, Any]:
    """One sequence: weights and updates decide the peak, and order gains much."""
    return _training(1)


def factory_batch4() -> dict[str, Any]:
    """Four sequences: activations begin to decide."""
    return _training(4)


def _training(batch: int) -> dict[str, Any]:
    config = GPT2Config(use_cache=False)  # training keeps no keys and values for generation
    model = GPT2LMHeadModel(config).train()
    model.loss_type = "ForCausalLM"  # the default, named to spare a warning
    ids = torch.randint(0, config.vocab_size, (batch, TOKENS))
    return {
        "model": model,
        "optimizer": torch.optim.AdamW(model.parameters()),
        "batch": {"input_ids": ids, "labels": ids},
    }
