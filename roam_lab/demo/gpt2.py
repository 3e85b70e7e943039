"""GPT-2 124M in plain torch: random weights, dropout on, the output layer tied to the embedding, AdamW.

The same sizes and the same init as OpenAI's smallest GPT-2; nothing but torch is needed. It is also an example of what
`roam profile FILE.py:FACTORY` takes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY, POSITIONS, WIDTH, HEADS, DEPTH, DROPOUT = 50257, 1024, 768, 12, 12, 0.1
TOKENS = 128


class Block(nn.Module):
    """Attention, then a layer of four times the width; each is added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_layer = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.queries_keys_values, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.queries_keys_values(self.before_attention(x)).split(WIDTH, dim=-1)
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        dropped = DROPOUT if self.training else 0.0
        attended = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropped, is_causal=True)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        hidden = functional.gelu(self.up(self.before_layer(x)), approximate="tanh")
        added: Tensor = self.dropout(self.down(hidden))
        return x + added


class GPT2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.last = nn.LayerNorm(WIDTH)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                into_sum = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * DEPTH) if into_sum else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids: Tensor) -> Tensor:
        where = torch.arange(ids.shape[1], device=ids.device)
        x = self.blocks(self.dropout(self.tokens(ids) + self.positions(where)))
        return functional.linear(self.last(x), self.tokens.weight)


def next_token_loss(model: nn.Module, ids: Tensor) -> Tensor:
    logits = model(ids)[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def factory() -> dict[str, Any]:
    """One sequence of 128 tokens."""
    model = GPT2().train()
    return {
        "model": model,
        "optimizer": torch.optim.AdamW(model.parameters()),
        "batch": torch.randint(0, VOCABULARY, (1, TOKENS)),
        "loss": next_token_loss,
    }
