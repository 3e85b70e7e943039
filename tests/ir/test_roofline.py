"""Times of a GPU's rates: a launch, then the longer of arithmetic and bytes."""

from __future__ import annotations

import pytest

from roam_lab.errors import InputError
from roam_lab.ir import Device, Graph, Op, Storage
from roam_lab.ir.roofline import GPUS, LAUNCH_US, gpu_named, roofline_seconds, with_rates, with_roofline


def graph(dtype: str) -> Graph:
    storages = (
        Storage(4 * 10**9, dtype=dtype),
        Storage(10**6, dtype=dtype),
        Storage(2 * 10**9, region="resident", dtype=dtype),
    )
    ops = (
        Op("make", "aten.mm.default", creates=(0,), reads=(2,), flops=10**15),
        Op("small", "aten.mm.default", creates=(1,), reads=(), flops=2 * 10**12),
        Op("write", "aten.add_.Tensor", after=(1,), reads=(1, 2), writes=(2,)),
        Op("view", "aten.view.default", after=(2,), reads=()),
    )
    return Graph("g", storages, ops)


def test_the_longer_of_arithmetic_and_bytes() -> None:
    gpu = GPUS["h100"]
    timed = with_roofline(graph("float32"), gpu)
    arithmetic, small, moved, nothing = (op.time_us for op in timed.ops)
    assert arithmetic == pytest.approx(LAUNCH_US + 1e6 * 10**15 / gpu.single, rel=1e-6)
    assert small == pytest.approx(LAUNCH_US + 1e6 * 2 * 10**12 / gpu.single, rel=1e-4)
    assert moved == pytest.approx(LAUNCH_US + 1e6 * (2 * 2 * 10**9 + 10**6) / gpu.bytes_per_s, rel=1e-4)
    assert nothing == LAUNCH_US
    assert timed.times is not None
    assert "H100" in timed.times
    assert timed.device is not None
    assert (timed.device.flops_per_s, timed.device.fused_share) == (gpu.single, 1.0)


def test_half_precision_has_a_rate_of_its_own() -> None:
    gpu = GPUS["a100"]
    timed = with_roofline(graph("bfloat16"), gpu)
    assert timed.ops[0].time_us == pytest.approx(LAUNCH_US + 1e6 * 10**15 / gpu.half, rel=1e-6)
    assert timed.device is not None
    assert timed.device.flops_per_s == gpu.half


def test_names_in_any_case_and_what_there_is_for_others() -> None:
    assert gpu_named("H100") is GPUS["h100"]
    with pytest.raises(InputError, match=r"no GPU is named 'b9000'; choose one of t4, v100, .*h200"):
        gpu_named("b9000")


def test_a_whole_step_takes_what_its_ops_take_one_after_the_other() -> None:
    gpu = GPUS["t4"]
    timed = with_roofline(graph("float16"), gpu)
    assert roofline_seconds(graph("float16"), gpu) == pytest.approx(sum(op.time_us or 0.0 for op in timed.ops) / 1e6)
    assert roofline_seconds(Graph("g", (), (Op("view", "aten.view.default"),)), gpu) is None


def test_rates_of_a_device_are_those_of_its_times() -> None:
    device = Device(2e12, 1e9, launch_us=7.0, cache_bytes=1, host_bytes_per_s=1e9)
    timed = with_rates(graph("float32"), device, "measured here")
    assert [op.time_us for op in timed.ops] == pytest.approx([7 + 5e8, 7 + 1e6, 7 + 4001e3, 7])
    assert (timed.device, timed.times) == (device, "measured here")


def test_an_op_is_of_half_precision_where_it_makes_or_writes_such_numbers() -> None:
    storages = (Storage(8, dtype="float16"), Storage(8, dtype="float32", region="resident"))
    make = Op("make", "t", creates=(0,), flops=10**12)
    use = Op("use", "t", after=(0,), reads=(0, 1), writes=(1,), flops=10**12)
    gpu = GPUS["a100"]
    times = [op.time_us for op in with_roofline(Graph("g", storages, (make, use)), gpu).ops]
    assert times == pytest.approx([LAUNCH_US + 1e18 / gpu.half, LAUNCH_US + 1e18 / gpu.single], rel=1e-3)


def test_times_have_three_decimals() -> None:
    """Nanoseconds: more would make files longer, and is known of no op."""
    odd = Graph("odd", (Storage(1024),), (Op("one", "t", creates=(0,), flops=10**6),))
    device = Device(7e12, 3e11, 1.23456, 2**20, 1e10)
    timed = (with_rates(odd, device, "here"), with_roofline(odd, GPUS["h100"]))
    for (op,) in (one.ops for one in timed):
        assert op.time_us is not None
        assert op.time_us == round(op.time_us, 3) != round(op.time_us, 2)
