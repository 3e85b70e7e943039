"""Times of ops on a GPU that is not at hand, by the roofline model.

Rates are those of the makers' data sheets (dense, without sparsity). An op takes the time of a launch plus the longer
of the times of its arithmetic and of its bytes. Real kernels reach a part of these rates: use the times to compare
rewrites, not as seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from roam_lab.errors import InputError
from roam_lab.ir.graph import Device, Graph, Op

LAUNCH_US = 2.0
"""Time between the starts of two short kernels that a host launches one after the other."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """Peak rates of a GPU. `half`, `single`: flops per second of matrix products in 16-bit and in 32-bit floats;
    `bytes_per_s`: of its memory; `host_bytes_per_s`: of the link to the host."""

    name: str
    half: float
    single: float
    bytes_per_s: float
    cache_bytes: int
    host_bytes_per_s: float


GPUS = {
    "t4": Gpu("T4", 65e12, 8.1e12, 0.32e12, 4 * 10**6, 12e9),
    "v100": Gpu("V100 SXM2", 125e12, 15.7e12, 0.9e12, 6 * 10**6, 12e9),
    "rtx3090": Gpu("RTX 3090", 71e12, 35.6e12, 0.936e12, 6 * 10**6, 25e9),
    "rtx4090": Gpu("RTX 4090", 165e12, 82.6e12, 1.008e12, 72 * 10**6, 25e9),
    "l4": Gpu("L4", 121e12, 30.3e12, 0.3e12, 48 * 10**6, 25e9),
    "l40s": Gpu("L40S", 362e12, 91.6e12, 0.864e12, 96 * 10**6, 25e9),
    "a100": Gpu("A100 SXM 80GB", 312e12, 19.5e12, 2.039e12, 40 * 10**6, 25e9),
    "a100-40gb": Gpu("A100 SXM 40GB", 312e12, 19.5e12, 1.555e12, 40 * 10**6, 25e9),
    "h100": Gpu("H100 SXM", 989e12, 67e12, 3.35e12, 50 * 10**6, 50e9),
    "h200": Gpu("H200 SXM", 989e12, 67e12, 4.8e12, 50 * 10**6, 50e9),
}
"""The known GPUs, by the name that `--times` takes."""

_HALF = frozenset({"float16", "bfloat16"})


def gpu_named(name: str) -> Gpu:
    """The GPU of that name. Raises InputError, listing the known names, for any other."""
    found = GPUS.get(name.lower())
    if found is None:
        raise InputError(f"no GPU is named {name!r}; choose one of {', '.join(GPUS)}")
    return found


def with_roofline(graph: Graph, gpu: Gpu) -> Graph:
    """A copy of `graph` with `time_us` of every op by the roofline of `gpu`."""
    ops = tuple(replace(op, time_us=round(_us(graph, op, gpu), 3)) for op in graph.ops)
    half = any(storage.dtype in _HALF for storage in graph.storages)
    rate = gpu.half if half else gpu.single
    device = Device(rate, gpu.bytes_per_s, LAUNCH_US, gpu.cache_bytes, gpu.host_bytes_per_s)
    return replace(graph, ops=ops, device=device, times=f"roofline: {gpu.name}, {LAUNCH_US:g} us an op")


def roofline_seconds(graph: Graph, gpu: Gpu) -> float | None:
    """Seconds of one step of `graph` by the roofline of `gpu`, op after op; None where no op says its flops."""
    if not any(op.flops for op in graph.ops):
        return None
    return sum(_us(graph, op, gpu) for op in graph.ops) / 1e6


def with_rates(graph: Graph, device: Device, times: str) -> Graph:
    """A copy of `graph` with `time_us` of every op by the rates of `device`; `times` says where the rates are from."""
    gpu = Gpu(
        "", device.flops_per_s, device.flops_per_s, device.bytes_per_s, device.cache_bytes, device.host_bytes_per_s
    )
    ops = tuple(replace(op, time_us=round(_us(graph, op, gpu, device.launch_us), 3)) for op in graph.ops)
    return replace(graph, ops=ops, device=device, times=times)


def _us(graph: Graph, op: Op, gpu: Gpu, launch_us: float = LAUNCH_US) -> float:
    touched = [graph.storages[one] for one in {*op.creates, *op.reads}]
    moved = sum(storage.bytes for storage in touched) + sum(graph.storages[one].bytes for one in op.writes)
    half = any(graph.storages[one].dtype in _HALF for one in (*op.creates, *op.writes))
    arithmetic = (op.flops or 0) / (gpu.half if half else gpu.single)
    return launch_us + 1e6 * max(arithmetic, moved / gpu.bytes_per_s)
