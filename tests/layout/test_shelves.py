"""Time blocks only make placing faster: they change no offset."""

from __future__ import annotations

import random

import pytest

from roam_lab.ir import Layout, Lifetime, check_layout
from roam_lab.layout import shelves
from roam_lab.layout.best_fit import SORTINGS, place


@pytest.mark.parametrize("seed", range(60))
def test_blocks_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    lives = []
    for storage in range(draw.randint(1, 120)):
        start, length = draw.randint(0, 200), draw.randint(1, 5 if draw.random() < 0.6 else 150)
        lives.append(Lifetime(storage, start, start + length, draw.randint(1, 50)))
    for sorting in SORTINGS.values():
        sequence = sorted(lives, key=sorting)
        monkeypatch.setattr(shelves, "_PER_BLOCK", 5)
        many = place(sequence)
        monkeypatch.setattr(shelves, "_PER_BLOCK", 10**6)
        assert place(sequence) == many
        assert isinstance(many, Layout)
        check_layout(lives, many)
    monkeypatch.setattr(shelves, "_PER_BLOCK", 5)
    assert shelves.Shelves(lives).blocks == 1 + len(lives) // 5
