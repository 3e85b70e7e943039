"""A digest of everything besides the graph that bits may depend on: versions, processor, threads, flags."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path

import torch

from roam_lab.ir import read_json, write_text
from roam_lab.plan import Plan

VERIFIED = "verified"
"""The key, in a plan's environment, of the `verified_digest` under which the plan was verified bit for bit."""


def verified_digest(graph_sha256: str, device: torch.device | str) -> str:
    """A SHA-256; where it equals that of a verification, the plan of this graph needs no further check."""
    device = torch.device(device)
    facts = [
        f"graph {graph_sha256}",
        f"torch {torch.__version__} {torch.__config__.show()}",
        f"processor {_processor()} {torch.backends.cpu.get_cpu_capability()}",
        f"threads {torch.get_num_threads()} {torch.get_num_interop_threads()}",
        f"deterministic {torch.are_deterministic_algorithms_enabled()} {torch.backends.cudnn.benchmark}",
        f"precision {torch.get_float32_matmul_precision()} {torch.backends.mkldnn.enabled}",
    ]
    if device.type == "cuda":
        facts.append(f"device {torch.cuda.get_device_properties(device)} {torch.backends.cudnn.version()}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def is_verified(plan: Plan, graph_sha256: str | None, device: torch.device) -> bool:
    """Whether a plan was verified in this very environment, for the graph with that fingerprint (None: its own)."""
    digest = plan.environment.get(VERIFIED)
    return digest is not None and digest == verified_digest(graph_sha256 or plan.graph_sha256, device)


def note_verified(path: str | os.PathLike[str], device: torch.device | str) -> None:
    """Write into a plan's file that it was verified in this environment. Raises InputError, OutputError."""
    data = read_json(path)
    data["environment"] = {**data.get("environment", {}), VERIFIED: verified_digest(data["graph_sha256"], device)}
    write_text(path, json.dumps(data, separators=(",", ":")))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())
