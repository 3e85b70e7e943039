"""The simulated caching allocator against the real one: the same bytes after every request."""

import json
import os
import subprocess
import sys

import pytest

from roam_lab.layout.caching.settings import VARIABLES, AllocatorSettings


def compared(first, count, real="", *simulated, newer=""):
    """What `allocator_sequences` found under the settings `real`; `newer`: those of the newer variable."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {name: value for name, value in zip(VARIABLES, (real, newer), strict=True) if value}
    arguments = ["-m", "tests.fake_cuda.allocator_sequences", str(first), str(count), *simulated]
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ("", 300),
        ("expandable_segments:True", 150),
        ("max_split_size_mb:32", 100),
        ("max_split_size_mb:200", 50),
        ("garbage_collection_threshold:0.6", 100),
        ("roundup_power2_divisions:4", 50),
        ("roundup_power2_divisions:[1:8,4:4,64:2,>:1]", 50),
        ("large_segment_size_mb:40,max_split_size_mb:60", 50),
        ("expandable_segments:True,large_segment_size_mb:12", 50),
        ("expandable_segments:True,max_split_size_mb:64", 50),
        ("max_split_size_mb:40,max_non_split_rounding_mb:64,garbage_collection_threshold:0.8", 50),
    ],
)
def test_random_sequences(settings, count):
    """1,000 in all; some under a limit, which a hundred or so of their requests pass."""
    assert not AllocatorSettings.parse(settings).unmodelled
    found = compared(0, count, settings)
    assert found["differences"] == []
    assert found["sequences"] == count
    assert found["requests"] > 50 * count
    assert found["full"] > count // 3


@pytest.mark.parametrize(
    ("real", "simulated"),
    [
        ("max_split_size_mb:32", "max_split_size_mb:40"),
        ("garbage_collection_threshold:0.6", "garbage_collection_threshold:0.9"),
    ],
)
def test_another_rule_would_be_seen(real, simulated):
    assert compared(0, 40, real, simulated)["differences"]


def test_which_variable_goes_first():
    assert compared(0, 40, "max_split_size_mb:32", newer="max_split_size_mb:200")["differences"] == []
    assert compared(0, 40, newer="max_split_size_mb:32")["differences"] == []
