"""`python -m tests.fake_cuda.allocator_sequences FIRST COUNT [SETTINGS]`: random requests to the real caching allocator
and to the simulated one, in a process of its own, because the allocator reads its settings once.

SETTINGS: those of the simulated one, where they are not to be the real one's. Writes a JSON object: `sequences`,
`requests`, `full` (requests that found no room), `differences` (of the first sequence with any).
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator

import torch

from roam_lab.layout.caching.allocator import CachingAllocator, DeviceFullError
from roam_lab.layout.caching.blocks import Block
from roam_lab.layout.caching.settings import MIB, AllocatorSettings

Pair = tuple[int, Block]
SETTINGS = AllocatorSettings.parse(sys.argv[3]) if len(sys.argv) > 3 else AllocatorSettings.of_environment()
TOTAL = torch.cuda.get_device_properties(0).total_memory
NAMES = ("allocated", "requested", "reserved")


def difference(simulated: CachingAllocator) -> str | None:
    """What the two allocators do not agree on, now or at the peak."""
    real = torch._C._cuda_memoryStats(0)
    for name in NAMES:
        figure, other = getattr(simulated, name), real[f"{name}_bytes"]["all"]
        if (figure.now, figure.peak) != (other["current"], other["peak"]):
            return f"{name}: real {other['current']}, peak {other['peak']}; simulated {figure.now}, {figure.peak}"
    return None


def size(rng: random.Random) -> int:
    """From bytes to hundreds of MiB, most of them in the range of one of the allocator's rules; few sizes repeat."""
    most = rng.choice((600, 20_000, MIB, 3 * MIB, 12 * MIB, 40 * MIB, 400 * MIB))
    drawn = rng.randint(1, most)
    return drawn if rng.random() < 0.5 else -(-drawn // (most // 6)) * (most // 6)


def request(simulated: CachingAllocator, wanted: int, counts: Counter[str]) -> Pair | str | None:
    """Ask both for a block; a sentence where only one of them has room, None where both have none."""
    try:
        block: Block | None = simulated.allocate(wanted)
    except DeviceFullError:
        block = None
    try:
        real = torch.cuda.caching_allocator_alloc(wanted)
    except torch.OutOfMemoryError:
        real = None
    if (block is None) != (real is None):
        return f"{wanted} bytes: real {'full' if real is None else 'ok'}, not so simulated"
    if block is None or real is None:
        counts["full"] += 1
        return None
    return real, block


def sequence(seed: int, counts: Counter[str]) -> Iterator[str]:
    """One sequence of requests; yields what is not the same."""
    rng = random.Random(seed)
    limit = rng.choice((TOTAL, TOTAL, 256 * MIB, 900 * MIB, 2048 * MIB))
    torch.cuda.set_per_process_memory_fraction(limit / TOTAL)
    torch.cuda.reset_peak_memory_stats()
    simulated, held = CachingAllocator(SETTINGS, limit), list[Pair]()
    keep = rng.choice((5, 20, 60))
    for _ in range(rng.randint(20, 160)):
        counts["requests"] += 1
        drawn = rng.random()
        if drawn < 0.02:
            torch.cuda.empty_cache()
            simulated.empty_cache()
        elif held and (len(held) > keep or drawn < 0.45):
            address, block = held.pop(rng.randrange(len(held)))
            torch.cuda.caching_allocator_delete(address)
            simulated.free(block)
        else:
            found = request(simulated, size(rng), counts)
            if isinstance(found, str):
                yield found
            elif found is not None:
                held.append(found)
        if (seen := difference(simulated)) is not None:
            yield seen
    for address, block in held:
        torch.cuda.caching_allocator_delete(address)
        simulated.free(block)
    torch.cuda.empty_cache()
    simulated.empty_cache()
    if (seen := difference(simulated)) is not None:
        yield seen


def main(first: int, count: int) -> None:
    counts: Counter[str] = Counter()
    differences: list[str] = []
    for seed in range(first, first + count):
        found = next(sequence(seed, counts), None)
        counts["sequences"] += 1
        if found is not None:
            differences.append(f"sequence {seed}: {found}")
            break  # what was left allocated would be counted in the next
    print(json.dumps({**counts, "differences": differences}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    torch.cuda.init()
    main(int(sys.argv[1]), int(sys.argv[2]))
