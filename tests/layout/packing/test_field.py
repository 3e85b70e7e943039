"""Compiled placing against the obvious way."""

from __future__ import annotations

import numpy as np
import pytest

from roam_lab.ir import Lifetime, check_layout
from roam_lab.layout.packing import field as module
from roam_lab.layout.packing.field import UNPLACED, Field
from tests.layout.packing.lives import gaps, random_lives


@pytest.mark.parametrize("first_fit", [True, False])
@pytest.mark.parametrize("stride", [1, 4, 32])
def test_each_goes_into_the_lowest_or_the_smallest_gap(
    first_fit: bool, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STRIDE", stride)
    for seed in range(40):
        lives = [life for life in random_lives(seed) if life.bytes]
        if not lives:
            continue
        field = Field.of(lives)
        by_storage = {life.storage: life for life in lives}
        sequence = np.random.default_rng(seed).permutation(len(lives))
        offsets = np.full(len(lives), UNPLACED)
        field.place(sequence[:5], offsets, first_fit)
        field.place(sequence[5:], offsets, first_fit)  # what is placed stays
        placed: dict[Lifetime, int] = {}
        for number in sequence.tolist():
            life = by_storage[int(field.storages[number])]
            free = gaps(life, placed)
            placed[life] = (free[0] if first_fit else min(free, key=lambda gap: gap[1]))[0]
            assert offsets[number] == placed[life], (seed, life)
        layout = field.layout(offsets)
        check_layout(lives, layout)
        assert layout.arena_bytes == max(low + life.bytes for life, low in placed.items())


def test_memory_is_bounded_by_wider_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    lives = [Lifetime(storage, storage, 1000, 1) for storage in range(500)]
    usual = Field.of(lives)
    monkeypatch.setattr(module, "_MOST_CROSSING", 700)
    small = Field.of(lives)
    assert usual.stride == 32
    assert len(usual.crossing) > 700
    assert small.stride == 256
    assert len(small.crossing) == 256
    sequence = np.arange(500)[::-1].copy()
    layouts = []
    for field in (usual, small):
        offsets = np.full(500, UNPLACED)
        field.place(sequence, offsets, True)
        layouts.append(field.layout(offsets))
    assert layouts[0] == layouts[1]
    assert layouts[0].arena_bytes == 500


def test_nothing_to_place() -> None:
    field = Field.of(())
    offsets = np.empty(0, np.int64)
    field.place(np.empty(0, np.int64), offsets, True)
    assert field.layout(offsets).arena_bytes == 0
    assert field.layout(offsets).offsets == {}


def test_storages_without_bytes_are_legal() -> None:
    for seed in range(30):
        lives = random_lives(seed)
        field = Field.of(lives)
        offsets = np.full(len(lives), UNPLACED)
        field.place(np.random.default_rng(seed).permutation(len(lives)), offsets, bool(seed % 2))
        check_layout(lives, field.layout(offsets))
