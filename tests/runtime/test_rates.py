"""What a device does in a second, as measured on this machine."""

import pytest
import torch

from roam_lab.ir import Graph, Storage
from roam_lab.runtime import caches, rates
from roam_lab.runtime.rates import measured_device


@pytest.fixture
def quick(monkeypatch):
    """Small copies and products."""
    monkeypatch.setattr(rates, "COPIED_BYTES", 2**16)
    monkeypatch.setattr(rates, "PRODUCT", 16)
    rates._measured.cache_clear()
    yield
    rates._measured.cache_clear()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rates_are_above_zero_and_random_numbers_stay(quick, dtype):
    random = torch.get_rng_state()
    device = measured_device(torch.device("cpu"), Graph("g", (Storage(4, dtype=dtype),), ()))
    assert min(device.flops_per_s, device.bytes_per_s, device.launch_us, device.host_bytes_per_s) > 0
    assert device.fused_share == 1.0
    assert torch.equal(torch.get_rng_state(), random)


def test_the_cache_is_what_the_system_says(tmp_path, monkeypatch):
    for index, size in enumerate(("32K", "1024K", "33M")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    where = torch.device("cpu")
    monkeypatch.setattr(caches, "_CACHES", tmp_path)
    assert caches.cache_bytes.__wrapped__(where) == 33 * 2**20
    monkeypatch.setattr(caches, "_CACHES", tmp_path / "none")
    assert caches.cache_bytes.__wrapped__(where) == caches.UNKNOWN_CACHE_BYTES
