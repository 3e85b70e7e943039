"""A folder of files that are kept for later, up to a size: those that were not used for longest go."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

STALE_SECONDS = 3600.0
"""A file that is being written for longer was left by a process that was killed."""


def make_room(folder: Path, suffix: str, most_bytes: int) -> None:
    """Take away what stale writers left, and the oldest files with this ending until `most_bytes` hold the rest; the
    newest stays in any case. Several processes may do so at once. Raises OSError."""
    for left in folder.glob(f".*{suffix}.*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()
    found = sorted((one.stat().st_mtime, one.stat().st_size, one) for one in folder.glob(f"*{suffix}"))
    total = sum(size for _, size, _ in found)
    for _, size, path in found[:-1]:
        if total <= most_bytes:
            return
        with suppress(FileNotFoundError):  # another process was faster
            path.unlink()
        total -= size
