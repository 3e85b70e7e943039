"""Models of plain torch: dense layers and convolutions with every norm and activation."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as fn

from tests.coverage.models.plain_parts import CLASSES, Mapped, classified, head, regressed
from tests.coverage.registry import Made, Source

MODELS = Source("plain_layers")

# chains of dense layers: every norm, every activation


@MODELS.model("dense")
def mlp() -> Made:
    return classified(nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, CLASSES)), 6, 12)


@MODELS.model("dense")
def mlp_norms() -> Made:
    norms = (nn.LayerNorm(32), nn.RMSNorm(32), nn.BatchNorm1d(32), nn.LayerNorm(32, elementwise_affine=False))
    layers = [part for norm in norms for part in (nn.Linear(32, 32), norm, nn.GELU())]
    return classified(nn.Sequential(*layers, nn.Linear(32, CLASSES)), 6, 32)


@MODELS.model("dense")
def mlp_activations() -> Made:
    kinds = (
        *(
            nn.ELU(),
            nn.CELU(),
            nn.SELU(),
            nn.GELU("tanh"),
            nn.SiLU(),
            nn.Mish(),
            nn.Softplus(),
            nn.Softsign(),
            nn.Tanh(),
        ),
        *(
            nn.Hardswish(),
            nn.Hardsigmoid(),
            nn.Hardtanh(),
            nn.ReLU6(),
            nn.LeakyReLU(0.1),
            nn.LogSigmoid(),
            nn.Tanhshrink(),
        ),
        *(nn.Softshrink(0.1), nn.Hardshrink(0.1), nn.Threshold(0.0, 0.1), nn.PReLU(), nn.RReLU()),
        *(nn.ELU(inplace=True), nn.SiLU(inplace=True), nn.Hardswish(inplace=True)),
    )
    layers = [part for kind in kinds for part in (nn.Linear(16, 16), kind)]
    return classified(nn.Sequential(*layers, nn.Linear(16, CLASSES)), 6, 16)


@MODELS.model("dense")
def mlp_gated() -> Made:
    layers = (
        nn.Linear(12, 64),
        nn.GLU(),
        nn.Linear(32, 32),
        nn.AlphaDropout(0.1),
        nn.Linear(32, CLASSES),
        nn.LogSoftmax(-1),
    )
    made = classified(nn.Sequential(*layers), 6, 12)
    return {**made, "loss": nn.NLLLoss()}


@MODELS.model("dense")
def bilinear() -> Made:
    parts = {"one": nn.Linear(8, 12), "two": nn.Linear(6, 10), "both": nn.Bilinear(12, 10, 4)}
    model = Mapped(lambda m, x, y: m.both(m.one(x).tanh(), m.two(y).tanh()), **parts)
    return regressed(model, lambda: (torch.randn(5, 8), torch.randn(5, 6)))


@MODELS.model("dense")
def float64_mlp() -> Made:
    made = classified(nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, CLASSES)).double(), 6, 12)
    made["batches"] = [(inputs.double(), targets) for inputs, targets in made["batches"]]
    return made


@MODELS.model("dense")
def bfloat16_mlp() -> Made:
    layers = (nn.Linear(12, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, CLASSES))
    made = classified(nn.Sequential(*layers).bfloat16(), 6, 12)
    made["batches"] = [(inputs.bfloat16(), targets) for inputs, targets in made["batches"]]
    return made


# convolutions


@MODELS.model("convolution", ci=True)
def resnet_like() -> Made:
    def block(m: Any, x: torch.Tensor) -> torch.Tensor:
        return fn.relu(m.body(x) + m.skip(x), inplace=True)

    def residual(inputs: int, outputs: int, stride: int) -> nn.Module:
        body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        return Mapped(block, body=body, skip=nn.Conv2d(inputs, outputs, 1, stride))

    stem = (nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
    return classified(head(*stem, residual(8, 8, 1), residual(8, 16, 2), width=16), 3, 3, 24, 24)


@MODELS.model("convolution")
def resnet_channels_last() -> Made:
    layers = [nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU(inplace=True), nn.Conv2d(8, 16, 3, 2, 1)]
    layers += [nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return classified(head(*layers, width=16), 3, 3, 16, 16, memory_format=torch.channels_last)


@MODELS.model("convolution")
def densenet_like() -> Made:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Sequential(nn.BatchNorm2d(8 + 4 * i), nn.ReLU(), nn.Conv2d(8 + 4 * i, 4, 3, 1, 1)) for i in range(3)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features = [x]
            for layer in self.layers:
                features.append(layer(torch.cat(features, 1)))
            return torch.cat(features, 1)

    transition = (nn.BatchNorm2d(20), nn.ReLU(), nn.Conv2d(20, 10, 1), nn.AvgPool2d(2))
    return classified(head(nn.Conv2d(3, 8, 3, 1, 1), Dense(), *transition, width=10), 3, 3, 12, 12)


@MODELS.model("convolution")
def unet_like() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        one = m.down1(x)
        two = m.down2(fn.max_pool2d(one, 2))
        up = m.up(two)
        return m.last(torch.cat([up, one], 1))

    def double(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1), nn.GroupNorm(2, outputs), nn.SiLU())

    parts = {
        "down1": double(3, 8),
        "down2": double(8, 16),
        "up": nn.ConvTranspose2d(16, 8, 2, 2),
        "last": double(16, 2),
    }
    return regressed(Mapped(forward, **parts), lambda: (torch.randn(2, 3, 16, 16),))


@MODELS.model("convolution")
def mobilenet_like() -> Made:
    def inverted(m: Any, x: torch.Tensor) -> torch.Tensor:
        y = m.body(x)
        return x + y * m.gate(y)

    body = (nn.Conv2d(8, 32, 1), nn.BatchNorm2d(32), nn.ReLU6(inplace=True), nn.Conv2d(32, 32, 3, 1, 1, groups=32))
    body += (nn.BatchNorm2d(32), nn.Hardswish(inplace=True), nn.Conv2d(32, 8, 1), nn.BatchNorm2d(8))
    gate = (nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Hardsigmoid())
    block = Mapped(inverted, body=nn.Sequential(*body), gate=nn.Sequential(*gate))
    return classified(head(nn.Conv2d(3, 8, 3, 2, 1), block, width=8), 3, 3, 16, 16)


@MODELS.model("convolution")
def convnext_like_channels_last() -> Made:
    class ChannelNorm(nn.LayerNorm):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    layers = (
        nn.Conv2d(3, 8, 4, 4),
        ChannelNorm(8),
        nn.Conv2d(8, 8, 7, 1, 3, groups=8),
        ChannelNorm(8),
        nn.Conv2d(8, 32, 1),
    )
    model = head(*layers, nn.GELU(), nn.Conv2d(32, 8, 1), width=8)
    return classified(model, 3, 3, 32, 32, memory_format=torch.channels_last)


@MODELS.model("convolution")
def convolution_1d_and_transposed() -> Made:
    layers = [nn.Conv1d(4, 8, 5, 2, 2), nn.InstanceNorm1d(8, affine=True), nn.LeakyReLU(0.2, inplace=True)]
    layers += [
        nn.ConvTranspose1d(8, 4, 4, 2, 1),
        nn.Tanh(),
        nn.Conv1d(4, 4, 3, dilation=2, padding_mode="reflect", padding=2),
    ]
    return regressed(nn.Sequential(*layers), lambda: (torch.randn(3, 4, 24),))


@MODELS.model("convolution")
def convolution_3d() -> Made:
    layers = [nn.Conv3d(2, 4, 3, 1, 1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2), nn.ConvTranspose3d(4, 2, 2, 2)]
    return regressed(nn.Sequential(*layers), lambda: (torch.randn(2, 2, 6, 8, 8),))


@MODELS.model("convolution")
def norms_of_maps() -> Made:
    layers = [nn.Conv2d(3, 8, 3, 1, 1), nn.InstanceNorm2d(8, affine=True, track_running_stats=True), nn.ReLU()]
    layers += [
        nn.Conv2d(8, 8, 3, 1, 1),
        nn.GroupNorm(4, 8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 1, 1),
        nn.LocalResponseNorm(3),
    ]
    layers += [
        nn.Conv2d(8, 8, 3, 1, 1),
        nn.BatchNorm2d(8, momentum=None),
        nn.Dropout2d(0.2),
        nn.FeatureAlphaDropout(0.2),
    ]
    return classified(head(*layers, width=8), 3, 3, 12, 12)


@MODELS.model("convolution")
def pixel_shuffle() -> Made:
    layers = [nn.Conv2d(3, 12, 3, 1, 1), nn.PixelShuffle(2), nn.Conv2d(3, 3, 3, 1, 1), nn.PixelUnshuffle(2)]
    layers += [
        nn.ChannelShuffle(4),
        nn.Conv2d(12, 2, 1),
        nn.ReflectionPad2d(1),
        nn.ReplicationPad2d(1),
        nn.ZeroPad2d(1),
    ]
    return regressed(nn.Sequential(*layers, nn.CircularPad2d(1)), lambda: (torch.randn(2, 3, 8, 8),))


@MODELS.model("convolution")
def poolings() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        x = m.first(x)
        found, where = fn.max_pool2d(x, 2, return_indices=True)
        back = fn.max_unpool2d(found, where, 2)
        top = fn.adaptive_max_pool2d(x, 1) + fn.lp_pool2d(x.abs() + 0.1, 2.0, 3, 1).mean()
        return m.last(torch.cat([back + top, x], 1))

    last = nn.Sequential(nn.Conv2d(8, 4, 1), nn.FractionalMaxPool2d(3, 4))
    return regressed(Mapped(forward, first=nn.Conv2d(3, 4, 3, 1, 1), last=last), lambda: (torch.randn(2, 3, 12, 12),))
