"""Models of plain torch over tables, experts, graphs, spectra and maps that are resampled."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as fn

from tests.coverage.models.plain_parts import CLASSES, Mapped, classified, regressed
from tests.coverage.models.plain_readers import WORDS, read, reader
from tests.coverage.registry import Made, Source

MODELS = Source("plain_tables")

# tables, experts, graphs


@MODELS.model("tables")
def tied_embedding() -> Made:
    model = reader(lambda m, x: m.body(x), body=nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.LayerNorm(16)))
    model.scores.weight = model.embed.weight  # type: ignore[union-attr]
    return read(model)


@MODELS.model("tables")
def embedding_bag() -> Made:
    def forward(m: Any, words: torch.Tensor, offsets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return m.last(torch.cat([m.sums(words, offsets, per_sample_weights=weights), m.means(words, offsets)], 1))

    parts = {"sums": nn.EmbeddingBag(WORDS, 8, mode="sum"), "means": nn.EmbeddingBag(WORDS, 8, mode="mean")}
    return regressed(
        Mapped(forward, **parts, last=nn.Linear(16, 4)),
        lambda: (torch.randint(0, WORDS, (12,)), torch.tensor([0, 3, 7]), torch.rand(12)),
    )


@MODELS.model("tables")
def factorization_machine() -> Made:
    def forward(m: Any, fields: torch.Tensor) -> torch.Tensor:
        vectors = m.vectors(fields)
        pairs = vectors.sum(1).square() - vectors.square().sum(1)
        return (m.linear(fields).sum(1) + 0.5 * pairs.sum(1, keepdim=True)).sigmoid() + m.deep(vectors.flatten(1))

    vectors = nn.Embedding(WORDS, 4, padding_idx=0, max_norm=None, scale_grad_by_freq=True)
    parts = {"vectors": vectors, "linear": nn.Embedding(WORDS, 1), "deep": nn.Linear(24, 1)}
    return regressed(Mapped(forward, **parts), lambda: (torch.randint(0, WORDS, (5, 6)),))


def _expert() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 16))


@MODELS.model("experts")
def experts_dense_by_one_hot() -> Made:
    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        weights, chosen = m.router(x).softmax(-1).topk(2)
        gates = (fn.one_hot(chosen, 4).to(x.dtype) * weights.unsqueeze(-1)).sum(-2)
        return sum(gates[..., index : index + 1] * expert(x) for index, expert in enumerate(m.experts))

    return read(reader(middle, router=nn.Linear(16, 4), experts=nn.ModuleList(_expert() for _ in range(4))))


@MODELS.model("experts")
def experts_by_index_add() -> Made:
    """Which tokens an expert gets, and how many, depends on values: refused, or run eagerly."""

    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(0, 1)
        weights, chosen = m.router(flat).softmax(-1).topk(2)
        out = torch.zeros_like(flat)
        for index, expert in enumerate(m.experts):
            rows, ranks = torch.where(chosen == index)
            out.index_add_(0, rows, expert(flat[rows]) * weights[rows, ranks, None])
        return out.view_as(x)

    return read(reader(middle, router=nn.Linear(16, 4), experts=nn.ModuleList(_expert() for _ in range(4))))


@MODELS.model("experts")
def experts_with_capacity() -> Made:
    def middle(m: Any, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(0, 1)
        scores = m.router(flat).softmax(-1)
        weights, rows = scores.t().topk(8)
        out = torch.zeros_like(flat)
        for index, expert in enumerate(m.experts):
            out = out.index_add(0, rows[index], expert(flat.index_select(0, rows[index])) * weights[index, :, None])
        return out.view_as(x)

    return read(reader(middle, router=nn.Linear(16, 4), experts=nn.ModuleList(_expert() for _ in range(4))))


def _edges(nodes: int = 10, edges: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(nodes, 8), torch.randint(0, nodes, (2, edges))


@MODELS.model("graphs", ci=True)
def graph_convolution() -> Made:
    def forward(m: Any, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        source, target = edges
        for layer in m.layers:
            degree = torch.zeros(x.shape[0]).index_add_(0, target, torch.ones(target.shape[0])).clamp(min=1)
            x = layer(x + torch.zeros_like(x).index_add_(0, target, x[source]) / degree[:, None]).relu()
        return x

    return regressed(Mapped(forward, layers=nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])), _edges)


@MODELS.model("graphs")
def graph_attention_by_scatter() -> Made:
    def forward(m: Any, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        source, target = edges
        h = m.first(x)
        scores = fn.leaky_relu(m.score(torch.cat([h[source], h[target]], 1)), 0.2).squeeze(1)
        top = torch.full((x.shape[0],), -1e9).scatter_reduce(0, target, scores, "amax")
        raw = torch.exp(scores - top[target])
        total = torch.zeros(x.shape[0]).scatter_add(0, target, raw)
        return torch.zeros_like(h).scatter_add(
            0, target[:, None].expand(-1, 8), h[source] * (raw / total[target])[:, None]
        )

    return regressed(Mapped(forward, first=nn.Linear(8, 8), score=nn.Linear(16, 1)), _edges)


@MODELS.model("spectra")
def fourier_mixing() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(m.first(x), dim=1, norm="ortho")
        mixed = torch.fft.irfft(spectrum * torch.view_as_complex(m.filter), n=x.shape[1], dim=1, norm="ortho")
        return mixed + torch.fft.fft2(x).real * 0.01

    return regressed(
        Mapped(forward, first=nn.Linear(8, 8), filter=nn.Parameter(torch.randn(6, 8, 2))),
        lambda: (torch.randn(3, 10, 8),),
    )


@MODELS.model("spectra")
def complex_parameters() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        z = torch.complex(x, x.flip(1)) @ m.weight
        return (z.abs() + z.angle() * 0.1 + (z * z.conj()).real).sum(1)

    return regressed(
        Mapped(forward, weight=nn.Parameter(torch.randn(6, 4, dtype=torch.complex64))), lambda: (torch.randn(5, 6),)
    )


@MODELS.model("spectra")
def spectrogram() -> Made:
    def forward(m: Any, sound: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            m.filter(sound[:, None]).squeeze(1), 32, 16, window=torch.hann_window(32), return_complex=True
        )
        return torch.log1p(spectrum.abs().square()) @ m.mel.expand(spectrum.shape[-1], 4)

    parts = {"filter": nn.Conv1d(1, 1, 9, padding=4), "mel": nn.Parameter(torch.randn(1, 4))}
    return regressed(Mapped(forward, **parts), lambda: (torch.randn(2, 160),))


@MODELS.model("tables")
def sorting_and_gathering() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        y = m.first(x)
        values, order = y.sort(1)
        picked = y.gather(1, order.flip(1))
        hard = torch.where(picked > 0, picked, values * 0.1)
        return torch.cat(
            [hard, y.roll(1, 1), y.median(1, keepdim=True).values, y.topk(3, 1).values, y.var(1, keepdim=True)], 1
        )

    return regressed(Mapped(forward, first=nn.Linear(8, 8)), lambda: (torch.randn(5, 8),))


@MODELS.model("tables")
def linear_algebra() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        root = m.first(x).view(-1, 3, 3)
        matrix = root @ root.mT + 3 * torch.eye(3)
        factor = torch.linalg.cholesky(matrix)
        return (
            torch.linalg.solve(matrix, x[:, :3, None]).sum()
            + torch.logdet(matrix)
            + factor.diagonal(dim1=1, dim2=2).sum(1)
        )

    return regressed(Mapped(forward, first=nn.Linear(8, 9)), lambda: (torch.randn(4, 8),))


@MODELS.model("tables")
def mixed_dtypes() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        y = m.first(x)
        return m.last(y.double().cumsum(1).float() + y.half().float() + (y > 0).to(torch.int8) + y.bfloat16())

    return classified(Mapped(forward, first=nn.Linear(8, 8), last=nn.Linear(8, CLASSES)), 4, 8)


# maps that are resampled


@MODELS.model("resampling")
def interpolate() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        for mode in ("nearest", "bilinear", "bicubic", "area", "nearest-exact"):
            corners = {"align_corners": False} if mode in ("bilinear", "bicubic") else {}
            x = m.mix(fn.interpolate(x, size=(9, 9), mode=mode, **corners))
            x = fn.interpolate(x, scale_factor=0.75, mode=mode, **corners)
        return fn.interpolate(x, size=(12, 12), mode="bilinear", antialias=True, align_corners=True)

    return regressed(Mapped(forward, mix=nn.Conv2d(3, 3, 3, 1, 1)), lambda: (torch.randn(2, 3, 8, 8),))


@MODELS.model("resampling")
def spatial_transformer() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        theta = m.where(x).view(-1, 2, 3)
        grid = fn.affine_grid(theta, list(x.shape), align_corners=False)
        return m.last(fn.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False))

    where = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 5 * 5, 6))
    return regressed(Mapped(forward, where=where, last=nn.Conv2d(3, 2, 3)), lambda: (torch.randn(2, 3, 12, 12),))


@MODELS.model("resampling")
def unfold_and_fold() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        patches = fn.unfold(x, 3, padding=1).transpose(1, 2)
        return fn.fold(m.mix(patches).transpose(1, 2), x.shape[-2:], 3, padding=1)

    return regressed(Mapped(forward, mix=nn.Linear(18, 18)), lambda: (torch.randn(2, 2, 8, 8),))
