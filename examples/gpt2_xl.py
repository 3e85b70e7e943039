"""GPT2-XL (1.56 billion parameters) from its config alone: captured and planned with no weights in memory.

python examples/gpt2_xl.py
roam profile examples/gpt2_xl.py:factory --fake -o gpt2_xl.json.gz
"""

from __future__ import annotations

import resource
import time
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import roam_lab as roam
from roam_lab.report.text import plan_text

TOKENS = 128
CONFIG = GPT2Config(n_embd=1600, n_layer=48, n_head=25, use_cache=False)


def factory() -> dict[str, Any]:
    """One sequence. With real weights the model and AdamW's state take 17.4 GiB; under `--fake`, nothing."""
    model = GPT2LMHeadModel(CONFIG).train()
    model.loss_type = "ForCausalLM"  # the default, named to spare a warning
    ids = torch.randint(0, CONFIG.vocab_size, (1, TOKENS))
    return {
        "model": model,
        "optimizer": torch.optim.AdamW(model.parameters(), fused=True),
        "batch": {"input_ids": ids, "labels": ids},
    }


def main() -> None:
    began = time.perf_counter()
    with torch.device("meta"):
        made = factory()
    profile = roam.profile(**made, fake=True, name="GPT2-XL, AdamW, 1 x 128 tokens")
    captured = time.perf_counter()
    plan = profile.plan()
    planned = time.perf_counter()
    print(plan_text(plan, profile))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\ncaptured in {captured - began:.1f} s, planned in {planned - captured:.1f} s, peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
