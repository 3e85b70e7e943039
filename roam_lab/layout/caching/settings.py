"""The settings of PYTORCH_CUDA_ALLOC_CONF that the simulated caching allocator follows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

MIB = 1 << 20
ROUNDING = 512
INTERVALS = 16
"""How many intervals of sizes `roundup_power2_divisions` distinguishes: up to 2 MiB, up to 4 MiB, and so on."""
VARIABLES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
"""Environment variables with the settings, the first that is set wins."""

_ELSEWHERE = frozenset(
    {
        "graph_capture_record_stream_reuse",
        "pinned_free_catch_all",
        "pinned_max_cached_size_mb",
        "pinned_max_round_threshold_mb",
        "pinned_num_register_threads",
        "pinned_reserve_segment_size_mb",
        "pinned_use_background_threads",
        "pinned_use_cuda_host_register",
        "release_lock_on_cudamalloc",
    }
)
"""Settings that change nothing of what a training step's allocations reserve on the device."""


@dataclass(frozen=True)
class AllocatorSettings:
    """Settings of the caching allocator; sizes in bytes.

    `max_split_bytes`: larger blocks are not split (None: every block may be split). `non_split_rounding_bytes`: by how
    much such a block may be larger than a request that it serves (None: by one large segment). `divisions`: for each
    interval of sizes, into how many steps a power of two is divided (0 and 1: sizes are rounded to 512 bytes).
    `collect_above`: the fraction of the memory limit above which cached segments are given back, the longest unused
    first (0: never). `unmodelled`: a sentence for each setting that the simulation does not follow.
    """

    max_split_bytes: int | None = None
    non_split_rounding_bytes: int | None = None
    large_segment_bytes: int = 20 * MIB
    expandable: bool = False
    divisions: tuple[int, ...] = (0,) * INTERVALS
    collect_above: float = 0.0
    unmodelled: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllocatorSettings:
        """The settings of a text as in PYTORCH_CUDA_ALLOC_CONF, `key:value,key:[a:b,c:d]`. Unknown keys and unreadable
        values raise nothing: they are named in `unmodelled`."""
        found, unmodelled = cls(), []
        for part in filter(None, re.split(r",(?![^\[]*\])", re.sub(r"\s", "", text))):
            key, _, value = part.partition(":")
            reader = _READERS.get(key)
            if key in _ELSEWHERE or part == "backend:native":
                continue
            try:
                if reader is None:
                    raise ValueError(key)
                found = replace(found, **reader(value))
            except ValueError:
                unmodelled.append(f"The allocator's setting {part} is not simulated; take it out to compare.")
        return replace(found, unmodelled=tuple(unmodelled))

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] | None = None) -> AllocatorSettings:
        """The user's own settings, from environment variables (None: those of this process)."""
        environment = os.environ if environment is None else environment
        return cls.parse(next((environment[name] for name in VARIABLES if name in environment), ""))

    def rounded(self, size: int) -> int:
        """Bytes of the block that a request of `size` bytes gets."""
        divisions = self.divisions[min(max(size.bit_length() - 21, 0), INTERVALS - 1)]
        if divisions > 1 and size > ROUNDING * divisions:
            step = (1 << (size.bit_length() - 1)) // divisions
            return -(-size // step) * step
        return max(-(-size // ROUNDING), 1) * ROUNDING


def _whole_mib(value: str, least: int) -> int:
    size = int(value)
    if size < least:
        raise ValueError(value)
    return size * MIB


def _part(value: str) -> float:
    part = float(value)
    if not 0 < part < 1:
        raise ValueError(value)
    return part


def _truth(value: str) -> bool:
    if value not in ("True", "False"):
        raise ValueError(value)
    return value == "True"


def _power(value: str) -> int:
    number = int(value)
    if number < 0 or number & (number - 1):
        raise ValueError(value)
    return number


def _divisions(value: str) -> tuple[int, ...]:
    """`divisions` of the text `N` (for all sizes), or `[256:1,512:2,>:8]`: from which MiB on into how many steps; sizes
    below the first key are treated as the first. Raises ValueError."""
    if not value.startswith("["):
        return (_power(value),) * INTERVALS
    found, last = [0] * INTERVALS, 0
    for number, pair in enumerate(value.strip("[]").split(",")):
        start, _, into = pair.partition(":")
        steps = _power(into)
        if start == ">":
            found[last + 1 :] = [steps] * (INTERVALS - last - 1)
            continue
        last = min(_power(start).bit_length() - 1, INTERVALS - 1)
        if number == 0:
            found[:last] = [steps] * last
        found[last] = steps
    return tuple(found)


_READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "max_split_size_mb": lambda value: {"max_split_bytes": _whole_mib(value, 20)},
    "max_non_split_rounding_mb": lambda value: {"non_split_rounding_bytes": _whole_mib(value, 20)},
    "large_segment_size_mb": lambda value: {"large_segment_bytes": _whole_mib(value, 11)},
    "expandable_segments": lambda value: {"expandable": _truth(value)},
    "roundup_power2_divisions": lambda value: {"divisions": _divisions(value)},
    "garbage_collection_threshold": lambda value: {"collect_above": _part(value)},
}
