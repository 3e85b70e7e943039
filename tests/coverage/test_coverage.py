"""A few models, one a family, in this process: identical and planned, or refused as the registry says.

The others run in `make coverage-of-models`.
"""

import pytest
import torch

from tests.coverage.outcome import outcome_of
from tests.coverage.registry import SOURCES, entries

ENTRIES = entries()
WITH_ADAMW = ("gpt2", "mixtral")
"""AdamW's ops, a dozen a parameter, are the same in every model, and take nearly half of a capture: two have them here,
all in `make coverage-of-models`, and tests/runtime/test_identity.py every optimizer's."""


def with_sgd(build):
    def built():
        made = build()
        if "optimizer" not in made:
            made["optimizer"] = torch.optim.SGD(made["model"].parameters(), lr=0.01)
        return made

    return built


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.ci])
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
