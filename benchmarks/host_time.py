"""Host time and kernel launches of a step, eager and planned, on the fake CUDA device (tests/fake_cuda/device/).

    LD_PRELOAD=OUT/libfake.so LD_LIBRARY_PATH=OUT python benchmarks/host_time.py [NAME ...] [--rounds 8] [-o FILE.json]

NAME: a model and an optimizer, such as gpt2_fused; all by default. One JSON line each: median milliseconds of processor
time of a step (all threads), of the model with all its layers but as narrow as it can be; and launches at real size.
Batch 1. Kernels are counted and not run, so this is what the host does, and no figure of a GPU.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import described, write
from models import MODELS

import roam_lab as roam
from roam_lab.measure import op_recorder

EACH = 4
OPTIMIZERS: dict[str, dict[str, Any]] = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def _narrow(name: str) -> dict[str, Any]:
    """The model with all its layers, and as narrow as it can be: the fake device fills and copies real memory."""
    import transformers as hf

    ids = torch.randint(0, 61, (1, 16))
    images = torch.randn(1, 3, 64, 64)
    if name == "gpt2":
        config = hf.GPT2Config(
            vocab_size=61, n_positions=16, n_embd=96, use_cache=False, bos_token_id=1, eos_token_id=2
        )
        return {"model": hf.GPT2LMHeadModel(config).train(), "batch": {"input_ids": ids, "labels": ids}}
    width = {"hidden_size": 96, "intermediate_size": 192}
    if name == "bert":
        config = hf.BertConfig(vocab_size=61, max_position_embeddings=16, **width)
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
        return {"model": hf.BertForMaskedLM(config).train(), "batch": batch}
    if name == "vit":
        batch = {"pixel_values": images, "labels": torch.randint(0, 2, (1,))}
        return {"model": hf.ViTForImageClassification(hf.ViTConfig(image_size=64, **width)).train(), "batch": batch}
    made = MODELS["resnet50_b1"][0](1)
    return {**made, "batch": (images, made["batch"][1])}


def _wide(name: str) -> dict[str, Any]:
    """The model at its real size."""
    from transformers import ViTConfig, ViTForImageClassification

    if name != "vit":
        return MODELS[f"{name}_b1"][0](1)
    batch = {"pixel_values": torch.randn(1, 3, 224, 224), "labels": torch.randint(0, 2, (1,))}
    return {"model": ViTForImageClassification(ViTConfig()).train(), "batch": batch}


def milliseconds(run: Callable[[], Any], count: int) -> list[float]:
    """Processor time of each of `count` calls, all threads together: others on this machine count little."""
    found = []
    for _ in range(count):
        start = time.process_time()
        run()
        found.append((time.process_time() - start) * 1e3)
    return found


def launches(run: Callable[[], Any]) -> int:
    """Kernels that one call launches on the fake device."""
    device = ctypes.CDLL(None)
    device.fake_launches.restype = ctypes.c_long
    before = device.fake_launches()
    run()
    return int(device.fake_launches() - before)


class Steps:
    """`eager()` and `planned()`: one step each of one model with one optimizer."""

    def __init__(self, made: dict[str, Any], kind: str) -> None:
        self.model, self.batch, self.loss = made["model"], made["batch"], made.get("loss")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, **OPTIMIZERS[kind])
        self.eager()
        self.optimizer.zero_grad()
        self.plan = roam.profile(self.model, self.batch, self.optimizer, self.loss).plan()
        self.hooked = roam.hook(self.plan, self.model, self.optimizer, self.loss, check="never")

    def eager(self) -> None:
        self.optimizer.zero_grad()
        if self.loss is None:
            self.model(**self.batch).loss.backward()
        else:
            self.loss(self.model(self.batch[0]), self.batch[1]).backward()
        self.optimizer.step()

    def planned(self) -> None:
        self.hooked(self.batch)


def counted(name: str, kind: str) -> dict[str, Any]:
    """Launches of a step, and what the plan says, at real size."""
    with torch.device("cuda"):
        made = _wide(name)
    steps = Steps(made, kind)
    steps.eager()
    found = {"eager_launches": launches(steps.eager)}
    steps.optimizer.zero_grad()
    steps.planned()
    found["planned_launches"] = launches(steps.planned)
    _all_planned(steps)
    plan = steps.plan
    ratio = round(found["planned_launches"] / found["eager_launches"], 3)
    return {**found, "launches": ratio, "peak_bytes": plan.peak_bytes, "arena_bytes": plan.arena_bytes}


def timed(name: str, kind: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of a step: eager and planned in turns, so that both see the same load of the machine."""
    with torch.device("cuda"):
        made = _narrow(name)
    steps = Steps(made, kind)
    found: dict[str, list[float]] = {"eager": [], "planned": []}
    for _ in range(rounds):
        steps.eager()
        found["eager"] += milliseconds(steps.eager, EACH)
        steps.optimizer.zero_grad()
        steps.planned()
        found["planned"] += milliseconds(steps.planned, EACH)
    _all_planned(steps)
    row: dict[str, Any] = {f"{which}_ms": round(statistics.median(times), 2) for which, times in found.items()}
    row |= {f"{which}_least_ms": round(min(times), 2) for which, times in found.items()}
    return {**row, "host_time": round(row["planned_ms"] / row["eager_ms"], 3)}


def _all_planned(steps: Steps) -> None:
    if steps.hooked.eager_steps:
        raise SystemExit(f"steps ran eagerly: {steps.hooked.reasons}")


def main() -> None:
    """Print every row, and write them."""
    names = [f"{model}_{kind}" for model in ("gpt2", "bert", "vit", "resnet50") for kind in OPTIMIZERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=names)
    parser.add_argument("--rounds", type=int, default=8, help=f"of {EACH} eager and {EACH} planned steps")
    parser.add_argument("--time-only", action="store_true", help="no launches, which take models of real size")
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    torch.backends.cudnn.enabled = False  # the fake device has no cuDNN convolutions
    op_recorder.try_writer = lambda *_: None  # it computes no bits that a writer could be tried by
    rows = []
    for name in arguments.names:
        model, kind = name.split("_")
        row = {"device": "fake device", "name": name, **timed(model, kind, arguments.rounds)}
        if not arguments.time_only:
            row |= counted(model, kind)
        rows.append(row)
        print(json.dumps(rows[-1]), flush=True)
    if arguments.output:
        write(arguments.output, json.dumps({**described("cuda"), "rows": rows}, indent=1))
    sys.stdout.flush()
    os._exit(0)  # the fake device may crash when CUDA's libraries are torn down


if __name__ == "__main__":
    main()
