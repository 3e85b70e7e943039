"""Models of plain torch over sequences: recurrence, attention, checkpointing."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as fn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from tests.coverage.models.plain_readers import read, reader
from tests.coverage.registry import Made, Source

MODELS = Source("plain_sequences")


@MODELS.model("recurrent", ci=True)
def lstm() -> Made:
    layer = nn.LSTM(16, 16, 2, batch_first=True, dropout=0.1, bidirectional=True)
    return read(reader(lambda m, x: m.layer(x)[0], features=32, layer=layer))


@MODELS.model("recurrent")
def gru() -> Made:
    return read(reader(lambda m, x: m.layer(x)[0], layer=nn.GRU(16, 16, 2, batch_first=True)))


@MODELS.model("recurrent")
def rnn_and_projected_lstm() -> Made:
    parts = {
        "one": nn.RNN(16, 16, batch_first=True, nonlinearity="relu"),
        "two": nn.LSTM(16, 16, proj_size=8, batch_first=True),
    }
    return read(reader(lambda m, x: m.two(m.one(x)[0])[0], features=8, **parts))


@MODELS.model("recurrent")
def cells_in_a_loop() -> Made:
    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        hidden, cell, other, found = *(x.new_zeros(x.shape[0], 16) for _ in range(3)), []
        for now in x.unbind(1):
            hidden, cell = m.one(now, (hidden, cell))
            other = m.two(hidden, other)
            found.append(m.three(other))
        return torch.stack(found, 1)

    return read(reader(middle, one=nn.LSTMCell(16, 16), two=nn.GRUCell(16, 16), three=nn.RNNCell(16, 16)), length=5)


@MODELS.model("recurrent")
def packed_sequence() -> Made:
    lengths = torch.tensor([9, 6, 4])

    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(m.layer(packed)[0], batch_first=True, total_length=9)[0]

    return read(reader(middle, layer=nn.LSTM(16, 16, batch_first=True)))


@MODELS.model("recurrent")
def linear_scan() -> Made:
    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        decay = torch.sigmoid(m.decay(x))
        logs = torch.cumsum(torch.log(decay), 1)
        states = torch.exp(logs) * torch.cumsum(m.value(x) * torch.exp(-logs), 1)
        return m.out(states * torch.cumprod(decay, 1) + torch.logcumsumexp(x, 1) + torch.cummax(x, 1).values)

    return read(reader(middle, decay=nn.Linear(16, 16), value=nn.Linear(16, 16), out=nn.Linear(16, 16)))


@MODELS.model("attention", ci=True)
def transformer_encoder() -> Made:
    layer = nn.TransformerEncoderLayer(16, 4, 32, 0.1, batch_first=True, norm_first=True)
    causal = nn.Transformer.generate_square_subsequent_mask(9)
    return read(reader(lambda m, x: m.layer(x, mask=causal, is_causal=True), layer=nn.TransformerEncoder(layer, 2)))


@MODELS.model("attention")
def transformer_encoder_padded() -> Made:
    padding = torch.arange(9) >= torch.tensor([9, 7, 5])[:, None]
    layer = nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True, activation="gelu")
    stack = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return read(reader(lambda m, x: m.layer(x, src_key_padding_mask=padding), layer=stack))


@MODELS.model("attention")
def transformer_both() -> Made:
    whole = nn.Transformer(16, 4, 1, 1, 32, batch_first=True)
    return read(reader(lambda m, x: m.whole(x, x.flip(1), tgt_is_causal=False), whole=whole))


@MODELS.model("attention")
def multihead_attention_weights() -> Made:
    parts = {
        "one": nn.MultiheadAttention(16, 4, 0.1, batch_first=True, kdim=8, vdim=8, add_bias_kv=True),
        "small": nn.Linear(16, 8),
    }

    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        keys = m.small(x)
        out, weights = m.one(x, keys, keys, need_weights=True, average_attn_weights=False)
        return out + weights.sum() * 0.01

    return read(reader(middle, **parts))


def _heads(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return x.unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4).unbind(0)


@MODELS.model("attention")
def sdpa_causal() -> Made:
    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        return m.out(fn.scaled_dot_product_attention(*_heads(m.qkv(x)), is_causal=True).transpose(1, 2).flatten(2))

    return read(reader(middle, qkv=nn.Linear(16, 48), out=nn.Linear(16, 16)))


@MODELS.model("attention")
def sdpa_masks() -> Made:
    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        q, k, v = _heads(m.qkv(x))
        allowed = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        one = fn.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=0.1)
        bias = m.bias[None, :, : x.shape[1], : x.shape[1]]
        two = fn.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=0.3)
        three = fn.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True)
        return m.out((one + two + three).transpose(1, 2).flatten(2))

    bias = nn.Parameter(torch.randn(2, 12, 12))
    return read(reader(middle, qkv=nn.Linear(16, 48), out=nn.Linear(16, 16), bias=bias))


@MODELS.model("attention")
def rotary_as_complex() -> Made:
    def rotated(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)

    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        q, k, v = _heads(m.qkv(x))
        angles = torch.outer(torch.arange(x.shape[1]).float(), 0.1 ** torch.arange(4))
        turns = torch.polar(torch.ones_like(angles), angles)
        return (
            fn.scaled_dot_product_attention(rotated(q, turns), rotated(k, turns), v, is_causal=True)
            .transpose(1, 2)
            .flatten(2)
        )

    return read(reader(middle, qkv=nn.Linear(16, 48)))


@MODELS.model("attention")
def einsum_attention_with_relative_positions() -> Made:
    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        q, k, v = _heads(m.qkv(x))
        length = x.shape[1]
        distance = (torch.arange(length)[:, None] - torch.arange(length)[None]).clamp(-4, 4) + 4
        scores = torch.einsum("bhid,bhjd->bhij", q, k) + torch.einsum("bhid,ijd->bhij", q, m.near(distance))
        scores = scores.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), float("-inf"))
        return torch.einsum("bhij,bhjd->bihd", scores.softmax(-1), v).flatten(2)

    return read(reader(middle, qkv=nn.Linear(16, 48), near=nn.Embedding(9, 8)))


# memory: checkpointing


def _stack(call: Any) -> nn.Module:
    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        for block in m.blocks:
            x = x + call(block, x)
        return x

    blocks = nn.ModuleList(
        nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 16))
        for _ in range(3)
    )
    return reader(middle, blocks=blocks)


@MODELS.model("checkpointing")
def checkpointed() -> Made:
    return read(_stack(lambda block, x: checkpoint(block, x, use_reentrant=False)))


@MODELS.model("checkpointing")
def checkpointed_reentrant() -> Made:
    return read(_stack(lambda block, x: checkpoint(block, x, use_reentrant=True)))


@MODELS.model("checkpointing", ci=True)
def checkpointed_selectively() -> Made:
    def policy(context: Any, op: Any, *arguments: Any, **named: Any) -> CheckpointPolicy:
        products = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return CheckpointPolicy.MUST_SAVE if op in products else CheckpointPolicy.PREFER_RECOMPUTE

    def contexts() -> Any:
        return create_selective_checkpoint_contexts(policy)

    return read(_stack(lambda block, x: checkpoint(block, x, use_reentrant=False, context_fn=contexts)))
