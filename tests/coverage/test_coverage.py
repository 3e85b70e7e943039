"""A few models, one a family, in this process: identical and planned, or refused as the registry says.

The others run in `make coverage-of-models`.
"""

import pytest
import torch

from tests.coverage.outcome import outcome_of
from tests.coverage.registry import SOURCES, entries

ENTRIES = entries()
WITH_ADAMW = ("gpt2",)
"""AdamW's ops, a dozen a parameter, are the same in every model, and take nearly half of a capture: one has them here,
all in `make coverage-of-models`, and tests/runtime/test_identity.py every optimizer's."""
LONG = (
    "autoencoder_kl", "bert", "clip", "gemma3", "llama_padded_later", "mamba", "mixtral", "moco", "patchtst",
    "resnet_like", "sd3", "t5", "transformer_encoder", "unet_2d_condition", "upernet", "wav2vec2", "wav2vec2_classes",
)  # fmt: skip
"""Models of families that have another one here, or, as experts chosen by value have, tests of their own."""


def with_sgd(build):
    def built():
        made = build()
        if "optimizer" not in made:
            made["optimizer"] = torch.optim.SGD(made["model"].parameters(), lr=0.01)
        return made

    return built


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LONG else []) for name, entry in ENTRIES.items() if entry.ci],
)
def test_model(name):
    entry = ENTRIES[name]
    found = outcome_of(entry.build if name in WITH_ADAMW else with_sgd(entry.build))
    assert found.word == ("refused" if entry.refused else "identical"), f"{found.reason}\n{found.details}"
    assert entry.refused in found.reason


def test_registry_is_broad():
    count = {
        heading: sum(entry.source in sources for entry in ENTRIES.values()) for heading, sources in SOURCES.items()
    }
    assert count["plain torch"] >= 40
    assert sum(count.values()) - count["plain torch"] >= 150
