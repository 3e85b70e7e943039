"""What guarding a step costs: microseconds of one check, for a model of 1,000 modules and for GPT-2 beside its step.

    python benchmarks/guards.py [--checks 2000] [--gpt2] [-o FILE.json]

For each model: the whole check (least and median), its parts, what making the guards takes, and other ways to read the
same attributes: by key (`operator.getitem`), and every module's `__dict__` against a copy of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from operator import getitem
from typing import Any

import torch
from machine import described, write
from torch import nn

from roam_lab.capture.sources import reach
from roam_lab.capture.sources.guards import Guards


def times_us(function: Callable[[], Any], count: int) -> tuple[float, float]:
    """Least and median microseconds of one call."""
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return round(min(seconds) * 1e6, 1), round(statistics.median(seconds) * 1e6, 1)


def thousand_modules() -> nn.Module:
    """1,000 modules of the kinds that a transformer has; 666 parameters."""
    layers: list[nn.Module] = []
    for _ in range(111):
        layers += [nn.Linear(4, 4), nn.LayerNorm(4), nn.Dropout(0.1), nn.Linear(4, 4), nn.GELU()]
        layers += [nn.Identity(), nn.Dropout(0.1), nn.ReLU(), nn.Sequential()]
    return nn.Sequential(*layers)


def measured(name: str, model: nn.Module, count: int) -> dict[str, Any]:
    """One row."""
    optimizer = torch.optim.AdamW(model.parameters())
    roots = {"model": model, "optimizer": optimizer}
    start = time.perf_counter()
    reachable = reach(roots)
    reached = time.perf_counter()
    guards = Guards(reachable)
    made = time.perf_counter()
    if guards.check() is not None or not guards._watch.unchanged():
        raise SystemExit(f"a guard of {name} trips without a change: {guards.check()}")
    modules = list(model.modules())
    pairs = [(vars(one), key) for one in modules for key in vars(one)]
    dicts, keys = [held for held, _ in pairs], [key for _, key in pairs]
    copies = [dict(vars(one)) for one in modules]
    now = [vars(one) for one in modules]
    return {
        "model": name,
        "modules": len(modules),
        "parameters": len(guards._trained),
        "reach_ms": round((reached - start) * 1e3, 1),
        "make_ms": round((made - reached) * 1e3, 1),
        "check_us": times_us(guards.check, count),
        "containers_us": times_us(guards._watch.unchanged, count),
        "flags_us": times_us(guards._flags.check, count),
        "requires_grad_us": times_us(lambda: [one.requires_grad for one in guards._trained], count),
        "instead_by_key_us": times_us(lambda: list(map(getitem, dicts, keys)), count // 10),
        "instead_dict_equal_us": times_us(lambda: now == copies, count // 10),
    }


def gpt2_step_us() -> tuple[dict[str, Any], float]:
    """GPT-2 124M, and the median microseconds of its step at batch 4, sequence length 128."""
    import transformers

    model = transformers.GPT2LMHeadModel(transformers.GPT2Config())
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(0, 50257, (4, 128))

    def step() -> None:
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()

    step()
    return measured("gpt2", model, 2000), times_us(step, 3)[1]


def main() -> None:
    """Print every row, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, default=2000)
    parser.add_argument("--gpt2", action="store_true", help="GPT-2 124M as well, with its step (minutes)")
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    rows = [measured("1,000 modules", thousand_modules(), arguments.checks)]
    if arguments.gpt2:
        row, step_us = gpt2_step_us()
        rows.append({**row, "step_us": step_us, "part_of_step": row["check_us"][1] / step_us})
    for row in rows:
        print(json.dumps(row, indent=1))
    if arguments.output:
        write(arguments.output, json.dumps({**described(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
