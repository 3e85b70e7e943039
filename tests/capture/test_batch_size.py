"""Batches at another size."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from roam_lab.capture import batch_size
from roam_lab.capture.batch_size import batch_size_of, resized
from roam_lab.errors import InputError


def test_rows_are_repeated_in_turn() -> None:
    batch = {"ids": torch.arange(6).reshape(2, 3), "more": (torch.ones(2), "text", torch.tensor(7))}
    assert batch_size_of(batch) == 2
    larger = resized(batch, 5)
    assert larger["ids"].tolist() == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5], [0, 1, 2]]
    assert larger["more"][0].shape == (5,)
    assert larger["more"][1:] == ("text", torch.tensor(7))
    assert resized(batch, 1)["ids"].tolist() == [[0, 1, 2]]
    assert batch["ids"].shape == (2, 3)


def test_tensors_of_another_length_stay() -> None:
    batch = [torch.zeros(4, 2), torch.zeros(4), torch.zeros(9)]
    assert [tensor.shape[0] for tensor in resized(batch, 8)] == [8, 8, 9]


def test_a_batch_without_data() -> None:
    assert resized(torch.empty(4, 3, device="meta"), 6).shape == (6, 3)


def test_a_large_batch_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks its values up."""
    monkeypatch.setattr(batch_size, "MOST_BYTES", 200)
    made = resized((torch.zeros(2, 10, requires_grad=True), torch.arange(2)), 6)
    assert [tensor.device.type for tensor in made] == ["meta", "cpu"]
    assert [tuple(tensor.shape) for tensor in made] == [(6, 10), (6,)]
    assert made[0].requires_grad


@pytest.mark.parametrize(
    ("batch", "said"),
    [("text", "no tensor"), (torch.tensor(1.0), "no tensor"), ([torch.zeros(2), torch.zeros(3)], "2, 3")],
)
def test_a_batch_without_a_size_is_refused(batch: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        batch_size_of(batch)


def test_no_rows_is_refused() -> None:
    with pytest.raises(InputError, match="1 or more"):
        resized(torch.zeros(2), 0)
