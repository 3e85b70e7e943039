"""The result of a verification: whether planned and eager agree bit for bit, and the memory and time of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from roam_lab.runtime.measured_run import RunFigures

LEAST_BYTES = 2**20
"""Differences of a process's peaks below this mean nothing: they are pages and memory that the allocator keeps."""


@dataclass(frozen=True, repr=False)
class Verification:
    """The comparison of an eager and a planned run from the same seed.

    `identical`: every loss, parameter, buffer and optimizer-state value agrees bit for bit after `steps` steps;
    `differences`: sentences on those that do not, the first one with its amount. `arena_bytes`: the size of the plan's
    arena (None: not known). `paired_step_ratio`: median of planned / eager times of steps run by turns (None: not
    measured). `unrepeatable`: what differs between two eager runs, too; bits were then compared with deterministic
    algorithms. `reasons`: why steps of the planned run ran eagerly (a first step that makes state) -> how many.
    """

    identical: bool
    differences: tuple[str, ...]
    steps: int
    device: str
    eager: RunFigures
    planned: RunFigures
    arena_bytes: int | None = None
    paired_step_ratio: float | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    unrepeatable: tuple[str, ...] = ()

    @property
    def memory_ratio(self) -> float:
        """Planned peak above base / eager peak above base."""
        return self.planned.peak_above_base_bytes / max(1, self.eager.peak_above_base_bytes)

    @property
    def time_ratio(self) -> float:
        """Planned step time / eager step time: the median of paired steps where they were run, else of the two
        medians."""
        if self.paired_step_ratio is not None:
            return self.paired_step_ratio
        return self.planned.median_step_seconds / self.eager.median_step_seconds

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data, for `roam verify --json`."""
        return {
            "identical": self.identical,
            "differences": list(self.differences),
            "steps": self.steps,
            "device": self.device,
            "arena_bytes": self.arena_bytes,
            "memory_ratio": self.memory_ratio,
            "time_ratio": self.time_ratio,
            "paired_step_ratio": self.paired_step_ratio,
            "reasons": dict(self.reasons),
            "unrepeatable": list(self.unrepeatable),
            "eager": self.eager.to_data(),
            "planned": self.planned.to_data(),
        }

    def __repr__(self) -> str:
        return f"Verification({'; '.join(self.lines())})"

    def _own_differences(self) -> list[str]:
        if not self.unrepeatable:
            return []
        how = "compared with deterministic algorithms" if self.identical else "also with deterministic algorithms"
        more = f" and {len(self.unrepeatable) - 1:,} more" if len(self.unrepeatable) > 1 else ""
        return [f"eager alone differs from run to run ({self.unrepeatable[0]}{more}); {how}"]

    def lines(self) -> list[str]:
        """The result as lines of text, one fact a line."""
        arena = "" if self.arena_bytes is None else f", arena {_mib(self.arena_bytes)}"
        small = self.eager.peak_above_base_bytes < LEAST_BYTES
        ratio = "too little to compare" if small else f"{self.memory_ratio:.2f} x"
        text = [
            f"bit-identical: {'yes' if self.identical else 'NO'} (loss, parameters, buffers and optimizer state "
            f"after {self.steps} steps on {self.device})",
            *self.differences,
            *self._own_differences(),
            *(f"{count} of {self.steps} steps ran eagerly: {reason}" for reason, count in self.reasons.items()),
            f"measured peak above base: eager {_mib(self.eager.peak_above_base_bytes)}, planned "
            f"{_mib(self.planned.peak_above_base_bytes)} ({ratio}){arena}",
            f"median step: eager {self.eager.median_step_seconds:.3f} s, planned "
            f"{self.planned.median_step_seconds:.3f} s ({self.time_ratio:.2f} x"
            f"{', paired' if self.paired_step_ratio is not None else ''})",
        ]
        if self.eager.reserved_bytes is not None and self.planned.reserved_bytes is not None:
            text.append(
                f"reserved: eager {_mib(self.eager.reserved_bytes)}, planned {_mib(self.planned.reserved_bytes)}"
            )
        return text


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
