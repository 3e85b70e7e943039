"""A few models, one a family, in this process: identical and planned, or refused as the registry says.

The others run in `make coverage-of-models`.
"""

import pytest

from tests.coverage.outcome import outcome_of
from tests.coverage.registry import SOURCES, entries

ENTRIES = entries()


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.ci])
def test_model(name):
    entry = ENTRIES[name]
    found = outcome_of(entry.build)
    assert found.word == ("refused" if entry.refused else "identical"), f"{found.reason}\n{found.details}"
    assert entry.refused in found.reason


def test_registry_is_broad():
    count = {
        heading: sum(entry.source in sources for entry in ENTRIES.values()) for heading, sources in SOURCES.items()
    }
    assert count["plain torch"] >= 40
    assert sum(count.values()) - count["plain torch"] >= 150
