"""The allocator's settings as users write them."""

import pytest

from roam_lab.layout.caching.settings import MIB, AllocatorSettings


def test_nothing_set():
    assert AllocatorSettings.parse("") == AllocatorSettings.of_environment({}) == AllocatorSettings()


def test_every_setting():
    text = (
        "max_split_size_mb:64, max_non_split_rounding_mb:30,large_segment_size_mb:25,expandable_segments:True,"
        "garbage_collection_threshold:0.8,roundup_power2_divisions:4,"
    )
    assert AllocatorSettings.parse(text) == AllocatorSettings(
        max_split_bytes=64 * MIB,
        non_split_rounding_bytes=30 * MIB,
        large_segment_bytes=25 * MIB,
        expandable=True,
        collect_above=0.8,
        divisions=(4,) * 16,
    )


def test_divisions_by_interval():
    found = AllocatorSettings.parse("roundup_power2_divisions:[4:8,16:2,>:1],expandable_segments:True")
    assert found.divisions == (8, 8, 8, 0, 2, *(1,) * 11)
    assert found.expandable
    assert AllocatorSettings.parse("roundup_power2_divisions:[1:4]").divisions == (4, *(0,) * 15)


@pytest.mark.parametrize(
    "part",
    [
        "nonsense:3",
        "backend:cudaMallocAsync",
        "per_process_memory_fraction:0.5",
        "max_split_size_mb:10",
        "max_split_size_mb:many",
        "expandable_segments:true",
        "garbage_collection_threshold:1.5",
        "roundup_power2_divisions:3",
        "roundup_power2_divisions:[4:8,5:2]",
        "max_split_size_mb",
    ],
)
def test_what_is_not_followed_is_named(part):
    found = AllocatorSettings.parse(f"{part},large_segment_size_mb:40")
    assert found.unmodelled == (f"The allocator's setting {part} is not simulated; take it out to compare.",)
    assert found.large_segment_bytes == 40 * MIB


def test_what_has_no_effect_here_is_not_named():
    text = "backend:native,pinned_use_background_threads:True,release_lock_on_cudamalloc:True"
    assert AllocatorSettings.parse(text) == AllocatorSettings()


def test_the_environment():
    both = {"PYTORCH_ALLOC_CONF": "max_split_size_mb:30", "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:40"}
    assert AllocatorSettings.of_environment(both).max_split_bytes == 40 * MIB
    assert AllocatorSettings.of_environment({"PYTORCH_ALLOC_CONF": "max_split_size_mb:30"}).max_split_bytes == 30 * MIB


def test_the_environment_of_this_process(monkeypatch):
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    assert AllocatorSettings.of_environment().expandable


@pytest.mark.parametrize(
    ("divisions", "size", "rounded"),
    [
        (0, 1, 512),
        (0, 512, 512),
        (0, 513, 1024),
        (1, 5 * MIB + 1, 5 * MIB + 512),
        (4, 1200 * 1024, 1280 * 1024),  # the tensor of 1,200 in PyTorch's own notes
        (4, 1024 * 1024, 1024 * 1024),
        (4, 4 * 512, 4 * 512),  # at most as many steps of 512 bytes: as without
        (8, 4 * MIB + 1, 4 * MIB + MIB // 2),
        (2, 7 * MIB, 8 * MIB),
    ],
)
def test_rounding(divisions, size, rounded):
    assert AllocatorSettings(divisions=(divisions,) * 16).rounded(size) == rounded
