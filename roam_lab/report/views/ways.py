"""The memory of the whole step in each way to run it, as bars beside the memory of GPUs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from roam_lab.plan.devices import Device
from roam_lab.report.units import bytes_text, unit_for
from roam_lab.report.views.frontier import Line, lines_near
from roam_lab.report.views.table import Table


@dataclass(frozen=True, slots=True)
class Bar:
    """One way to run the step: bytes of the whole step, and how they are known. `ours`: it runs a plan."""

    name: str
    bytes: int
    how: str
    ours: bool


@dataclass(frozen=True)
class WaysView:
    """`bars` of the step `name`, beside GPUs of about their size."""

    name: str
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        return f"Memory of one training step: {self.name}"

    @property
    def end_bytes(self) -> float:
        """Where the axis ends; it begins at 0."""
        return 1.06 * max([bar.bytes for bar in self.bars] + [line.bytes for line in self.lines] + [1])

    @property
    def unit(self) -> tuple[str, int]:
        """Unit of the axis and its bytes."""
        return unit_for(int(self.end_bytes))

    @property
    def alt(self) -> str:
        bars = "; ".join(f"{bar.name}: {bytes_text(bar.bytes)}" for bar in self.bars)
        lines = ", ".join(f"{line.name} {bytes_text(line.bytes)}" for line in self.lines)
        return f"{self.title}, reserved. {bars}. What a step can have of GPUs: {lines or 'none is near'}."

    @property
    def table(self) -> Table:
        rows = tuple((bar.name, bar.bytes, bytes_text(bar.bytes), bar.how) for bar in self.bars)
        return Table(self.title, ("way", "reserved, bytes", "reserved", "how it is known"), rows)


def ways_view(name: str, bars: Sequence[Bar], devices: Iterable[Device]) -> WaysView:
    """A view of `bars` in their sequence, with the GPUs near the highest of them."""
    highest = max([bar.bytes for bar in bars] + [1])
    return WaysView(name or "a training step", tuple(bars), lines_near(highest, [one for one in devices if one.is_gpu]))
