"""Memory over time of a step that really ran: the measured counterpart of `live_curve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from roam_lab.errors import FormatError


@dataclass(frozen=True)
class MeasuredCurve:
    """The bytes alive at each operator, of the storages that the step created.

    `labels[i]` names the operator (`aten.mm.default`); `live_bytes[i]` is the most that was alive while it ran or just
    after it. Parameters, buffers, optimizer state and the batch were there before and are not counted. `how`: the
    method of measuring, in words; `device`: "cpu" or the GPU's name.
    """

    labels: tuple[str, ...]
    live_bytes: tuple[int, ...]
    how: str
    device: str

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.live_bytes):
            raise FormatError(
                f"a measured curve has {len(self.labels)} labels and {len(self.live_bytes)} live_bytes; "
                "they must be as many"
            )

    @property
    def peak_bytes(self) -> int:
        """The most bytes alive at once; 0 for an empty curve."""
        return max(self.live_bytes, default=0)

    @property
    def peak_step(self) -> int:
        """Index of the first operator at which `peak_bytes` were alive; 0 for an empty curve."""
        return self.live_bytes.index(self.peak_bytes) if self.live_bytes else 0

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data; `measured_from_data` reads it back."""
        return {
            "labels": list(self.labels),
            "live_bytes": list(self.live_bytes),
            "how": self.how,
            "device": self.device,
        }


def measured_from_data(data: dict[str, Any]) -> MeasuredCurve:
    """The inverse of `MeasuredCurve.to_data`. Raises FormatError, naming the key."""
    for key in ("labels", "live_bytes", "how", "device"):
        if key not in data:
            raise FormatError(f"a measured curve has no {key}; write the file again")
    return MeasuredCurve(
        tuple(map(str, data["labels"])), tuple(map(int, data["live_bytes"])), str(data["how"]), str(data["device"])
    )
