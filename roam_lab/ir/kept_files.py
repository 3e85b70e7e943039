"""A folder of cached files with a limit of size: the files that were not used for longest are removed."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

STALE_SECONDS = 3600.0
"""A temporary file older than this was left by a process that was killed."""


def make_room(folder: Path, suffix: str, most_bytes: int) -> None:
    """Remove what killed writers left, then the least recently used files that end in `suffix` until the others take at
    most `most_bytes`; the newest is always kept. Several processes may do so at once. Raises OSError."""
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
