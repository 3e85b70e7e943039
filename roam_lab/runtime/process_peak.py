"""Peak memory of a piece of work, measured from outside the planner: by the kernel, or by CUDA's allocator."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch

from roam_lab.runtime.heap import collect

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_SAMPLE_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class ProcessPeak:
    """The memory that the work needed, in bytes.

    `base_bytes`: held just before (CPU: the process's resident set; CUDA: allocated on the device). `peak_bytes`: the
    most held while the work ran, base included. `reserved_bytes`: on CUDA, the most that the caching allocator had
    taken from the device. `how`: the method of measuring, in words.
    """

    base_bytes: int
    peak_bytes: int
    how: str
    reserved_bytes: int | None = None

    @property
    def above_base_bytes(self) -> int:
        """The peak less the base."""
        return max(0, self.peak_bytes - self.base_bytes)


class PeakMeter:
    """`with PeakMeter(device) as meter: work()`, then `meter.result`.

    Free heap memory is returned to the system first: the work could otherwise fill it without being seen. CPU: the
    kernel's high-water mark of the process, reset through /proc/self/clear_refs; where that is not allowed, the
    resident set sampled every 2 ms by a thread (short peaks can then be missed).
    """

    result: ProcessPeak

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)

    def __enter__(self) -> PeakMeter:
        release_free_memory(self._device)
        self._sampler: _Sampler | None = None
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._base = torch.cuda.memory_allocated(self._device)
        elif _reset_high_water():
            self._base = _status_bytes("VmRSS")
        else:
            self._sampler = _Sampler()
            self._base = self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            self.result = ProcessPeak(
                self._base,
                torch.cuda.max_memory_allocated(self._device),
                "torch.cuda peak allocated and reserved",
                torch.cuda.max_memory_reserved(self._device),
            )
        elif self._sampler is not None:
            self.result = ProcessPeak(self._base, self._sampler.stop(), "resident set sampled every 2 ms")
        else:
            peak = max(_status_bytes("VmHWM"), self._base)
            self.result = ProcessPeak(self._base, peak, "process peak (VmHWM)")


def release_free_memory(device: torch.device) -> None:
    """Collect garbage and return free memory: the C heap's to the system, the CUDA allocator's to the device."""
    collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _status_bytes(key: str) -> int:
    """The bytes of a line of /proc/self/status, such as "VmRSS:   123 kB". Raises OSError."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {key}")


def _reset_high_water() -> bool:
    """Set VmHWM back to VmRSS. False where the platform has no such thing, forbids it, or ignores it."""
    try:
        _CLEAR_REFS.write_text("5")
        # Some kernels accept the write and keep the old mark; differences of a few MiB are inexact counters.
        return _status_bytes("VmHWM") <= _status_bytes("VmRSS") + 2**23
    except OSError:
        return False


class _Sampler:
    """The largest resident set, sampled by a thread every 2 ms."""

    def __init__(self) -> None:
        import psutil  # type: ignore[import-untyped]

        self._process = psutil.Process(os.getpid())
        self._done = threading.Event()
        self._peak = 0
        self._thread = threading.Thread(target=self._watch, name="roam-peak", daemon=True)

    def start(self) -> int:
        """Begin; returns the resident set in bytes at this moment."""
        base = self._look()
        self._thread.start()
        return base

    def stop(self) -> int:
        """End; returns the largest resident set in bytes."""
        self._done.set()
        self._thread.join()
        self._look()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._look()

    def _look(self) -> int:
        size = int(self._process.memory_info().rss)
        self._peak = max(self._peak, size)
        return size
