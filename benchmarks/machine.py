"""What every benchmark file says about where its figures come from."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from roam_lab.ir import write_text

PACKAGES = ("roam-lab", "torch", "transformers", "diffusers", "ortools", "highspy", "pulp", "numba", "numpy")


def described(device: str = "cpu") -> dict[str, Any]:
    """Command, date, commit, machine and versions."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_bytes": _memory(),
            "device": _device(device),
        },
        "versions": {"python": platform.python_version(), **dict(filter(None, map(_version, PACKAGES)))},
    }


def mib(size: int | None) -> str:
    """Bytes as MiB with one decimal; nothing for None."""
    return "" if size is None else f"{size / 2**20:,.1f}"


def write(path: str, text: str, quiet: bool = False) -> None:
    """Write a result file, making its folder. Raises OutputError."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text + "\n")
    if not quiet:
        print(f"wrote {path}", file=sys.stderr)


def _version(package: str) -> tuple[str, str] | None:
    try:
        return package, importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit that is measured, marked dirty where files differ from it; None where there is no git."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _device(device: str) -> str:
    if device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name(device)
