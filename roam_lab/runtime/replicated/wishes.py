"""What a rank wants to do with its batch; the strongest wish of all ranks is what all of them do."""

from __future__ import annotations

from enum import IntEnum


class Wish(IntEnum):
    """From the weakest to the strongest."""

    PLANNED = 0
    """Run the captured step."""
    CHECKED = 1
    """Run it, and an eager step before to compare."""
    CAPTURED = 2
    """Capture another way of the step before."""
    EAGER = 3
    """Run the eager step."""
