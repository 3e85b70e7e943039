"""What all four scripts have in common: the model, the text, and what is written down of a training."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, Literal

import torch
from transformers import GPT2Config, GPT2LMHeadModel

BATCHES_AN_EPOCH = 0.6
"""Of a training's steps: the second epoch begins after the checkpoint, which lies in mid-epoch."""
LEARNING_RATE, CLIP = 1e-3, 1.0
BATCHES_OF_EVALUATION = 4


@dataclass(frozen=True)
class Size:
    """A GPT-2 and its batches. `words`: of the vocabulary, of which bytes use 256."""

    width: int
    layers: int
    heads: int
    words: int
    tokens: int
    batch: int


SIZES = {"tiny": Size(32, 2, 2, 256, 16, 4), "124m": Size(768, 12, 12, 50257, 64, 1)}


@dataclass(frozen=True)
class Run:
    """One training. `folder`: of its checkpoints, kept plans included; `resumed`: from that of the middle step.
    `check`: of the planned steps, as in `roam.hook`."""

    library: str
    hooked: bool
    size: Size
    steps: int
    evaluate: int
    folder: Path
    resumed: bool = False
    device: str = "cpu"
    check: Literal["first", "never"] = "first"

    @property
    def middle(self) -> int:
        """The number of steps before the checkpoint."""
        return self.steps // 2

    @property
    def batches(self) -> int:
        """Of an epoch."""
        return int(self.steps * BATCHES_AN_EPOCH)

    def model(self) -> GPT2LMHeadModel:
        """As transformers configures it, dropout included; weights drawn from a seed."""
        torch.manual_seed(0)
        size = self.size
        config = GPT2Config(
            vocab_size=size.words, n_positions=max(64, size.tokens), n_embd=size.width, n_layer=size.layers,
            n_head=size.heads, bos_token_id=0, eos_token_id=0, use_cache=False,
        )  # fmt: skip
        model = GPT2LMHeadModel(config)
        model.loss_type = "ForCausalLM"  # the default, named to spare a warning
        return model

    def rows(self, evaluation: bool = False) -> list[dict[str, torch.Tensor]]:
        """Token ids and labels, one sequence each: of the text's beginning, or of its end."""
        batches = BATCHES_OF_EVALUATION if evaluation else self.batches
        data = list(" ".join(topics[name] for name in sorted(topics)).encode())
        count = batches * self.size.batch * self.size.tokens
        chosen = torch.tensor(data[-count:] if evaluation else data[:count])
        return [{"input_ids": row, "labels": row} for row in chosen.view(-1, self.size.tokens)]

    def rate(self, step: int) -> float:
        """The factor of the learning rate: a warm-up, then down to nothing."""
        warm_up = max(1, self.steps // 20)
        return min((step + 1) / warm_up, max(0.0, (self.steps - step) / self.steps))


class Record:
    """What is seen of a training while it runs."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.evaluations: list[float] = []
        self.norms: list[float] = []
        self.seconds: list[float] = []
        self._began = self._made = time.perf_counter()

    def model_is_built(self) -> None:
        """The time to the end of the first step is counted from here."""
        self._made = time.perf_counter()

    def begin(self) -> None:
        """A step begins."""
        self._began = time.perf_counter()

    def end(self) -> None:
        """A step has ended."""
        now = time.perf_counter()
        if not self.seconds:
            self.first_step_seconds = now - self._made
        self.seconds.append(now - self._began)

    def row(self, model: torch.nn.Module, optimizer: Any, step: Any) -> dict[str, Any]:
        """What is compared, and what is told. `step`: counts planned and eager steps; None where all were eager."""
        ran = len(self.seconds)
        return {
            "losses": self.losses,
            "evaluations": self.evaluations,
            "norms": self.norms,
            "weights": _digest(model.state_dict().values()),
            "optimizer": _digest(
                value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)
            ),
            "random": _digest([torch.get_rng_state()]),
            "planned_steps": step.planned_steps if step else 0,
            "eager_steps": step.eager_steps if step else ran,
            "reasons": dict(step.reasons) if step else {},
            "notes": list(getattr(step, "notes", ())),
            "median_step_seconds": round(statistics.median(self.seconds), 5),
            "first_step_seconds": round(self.first_step_seconds, 3),
        }


def _digest(tensors: Any) -> str:
    """Of the bytes of all tensors, one after the other."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


SCRIPTS: dict[str, Callable[[Run, Record], dict[str, Any]]] = {}


def script(function: Callable[[Run, Record], dict[str, Any]]) -> Callable[[Run, Record], dict[str, Any]]:
    """Register the training of a library under the function's name."""
    SCRIPTS[function.__name__] = function
    return function
