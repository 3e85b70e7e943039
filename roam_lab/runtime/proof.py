"""How well it is known that a compiled step is the eager one: which of its steps were compared with it, and where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from roam_lab.capture.stored.values import value_from_data, value_to_data
from roam_lab.runtime.this_environment import verified_digest


class Proof:
    """Counts the steps that were equal to eager ones, and notes the numbers (rates) that they ran with.

    `wanted`: how many are asked for.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._equal = 0
        self._varied = False
        self._numbers: tuple[Any, ...] | None = None

    def holds(self, numbers: tuple[Any, ...]) -> bool:
        """Whether enough steps were equal: as many as are wanted, and one more when the numbers have changed."""
        varied = self._numbers is None or self._varied or numbers == self._numbers
        return self._equal >= self._wanted and varied

    def note_equal(self, numbers: tuple[Any, ...]) -> None:
        """Note that a step with these numbers was equal to the eager one."""
        self._equal += 1
        self._varied = self._varied or (self._numbers is not None and numbers != self._numbers)
        self._numbers = self._numbers or numbers

    def to_data(self) -> dict[str, Any]:
        """As JSON, for a later start. Raises NotStoredError."""
        return {"numbers": value_to_data(list(self._numbers or ())), "varied": self._varied}

    def take(self, data: Mapping[str, Any]) -> None:
        """Take over what an earlier start has compared (`to_data`, once it held). Raises what Python raises for data
        of another form, and NotStoredError."""
        numbers, varied = tuple(value_from_data(data["numbers"])), data["varied"] is True
        self._equal, self._varied, self._numbers = self._wanted, varied, numbers


def place_of_proof(
    captured: str, run: str, order: Sequence[int], offsets: Mapping[int, int], device: torch.device
) -> str:
    """A digest of all that a proof holds for: the graphs that were captured and that run (fingerprints), sequence and
    addresses, processor, threads, flags."""
    facts = [verified_digest(captured, device), run, list(order), sorted(offsets.items())]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
