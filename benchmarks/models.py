"""Models at benchmark size, as `FILE.py:FACTORY` functions: random weights, nothing downloaded.

`roam verify benchmarks/models.py:gpt2_b1` runs one. Beside each NAME stand NAME_fused (AdamW's fused kernel) and
NAME_in_backward (each parameter updated as soon as its gradient is there).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

Made = dict[str, Any]
LENGTH = 128  # tokens


def gpt2(batch: int, **config: Any) -> Made:
    """GPT-2 124M, where `config` says nothing else: dropout on, input and output embedding tied."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(use_cache=False, **config)).train()
    ids = torch.randint(0, model.config.vocab_size, (batch, LENGTH))
    return {"model": model, "batch": {"input_ids": ids, "labels": ids}}


def bert(batch: int, **config: Any) -> Made:
    """BERT-base, where `config` says nothing else, with its masked-language-model head."""
    from transformers import BertConfig, BertForMaskedLM

    model = BertForMaskedLM(BertConfig(**config)).train()
    ids = torch.randint(0, model.config.vocab_size, (batch, LENGTH))
    return {"model": model, "batch": {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}}


def vit(batch: int) -> Made:
    """ViT-B/16 on 224 x 224 images, 1,000 classes."""
    from transformers import ViTConfig, ViTForImageClassification

    model = ViTForImageClassification(ViTConfig(num_labels=1000)).train()
    return {
        "model": model,
        "batch": {"pixel_values": torch.randn(batch, 3, 224, 224), "labels": torch.randint(0, 1000, (batch,))},
    }


class Bottleneck(nn.Module):
    """ResNet's 1x1, 3x3, 1x1 block."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.last = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Body plus skip."""
        return self.last(self.body(x) + self.skip(x))


def resnet50(batch: int) -> Made:
    """ResNet-50 on 224 x 224 images, 1,000 classes: 25.6 M parameters."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(blocks):
            layers.append(Bottleneck(inputs, width, 2 if stage and not block else 1))
            inputs = 4 * width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000)]
    batch_data = (torch.randn(batch, 3, 224, 224), torch.randint(0, 1000, (batch,)))
    return {"model": nn.Sequential(*layers).train(), "batch": batch_data, "loss": nn.CrossEntropyLoss()}


class InBackward(torch.optim.Optimizer):
    """AdamW that updates each parameter in the backward pass, as soon as its gradient is whole, and drops the gradient.

    One AdamW a parameter, all over this optimizer's own groups and state, so that schedulers and checkpoints work.
    """

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(list(parameters), {"lr": lr})
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.register_post_accumulate_grad_hook(self._updater(group, parameter))

    def _updater(self, group: dict[str, Any], parameter: nn.Parameter) -> Callable[[torch.Tensor], None]:
        single = torch.optim.AdamW([parameter], lr=group["lr"])
        single.state = self.state

        def update(_: torch.Tensor) -> None:
            single.param_groups[0]["lr"] = group["lr"]
            single.step()
            parameter.grad = None

        return update

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Nothing is left to do: the hooks have run."""


def _with_optimizer(make: Callable[[int], Made], batch: int, kind: str) -> Made:
    made = make(batch)
    parameters = made["model"].parameters()
    if kind == "in_backward":
        made["optimizer"] = InBackward(parameters, lr=1e-4)
    else:
        made["optimizer"] = torch.optim.AdamW(parameters, lr=1e-4, **({"fused": True} if kind == "fused" else {}))
    return made


MODELS: dict[str, tuple[Callable[[int], Made], int]] = {
    "gpt2_b1": (gpt2, 1),
    "gpt2_b4": (gpt2, 4),
    "gpt2_b8": (gpt2, 8),
    "bert_b1": (bert, 1),
    "bert_b4": (bert, 4),
    "bert_b8": (bert, 8),
    "vit_b8": (vit, 8),
    "resnet50_b1": (resnet50, 1),
    "resnet50_b8": (resnet50, 8),
    "resnet50_b16": (resnet50, 16),
}
KINDS = ("fused", "in_backward")
for _name, (_make, _batch) in MODELS.items():
    globals()[_name] = partial(_with_optimizer, _make, _batch, "default")
    for _kind in KINDS:
        globals()[f"{_name}_{_kind}"] = partial(_with_optimizer, _make, _batch, _kind)
