"""The meter sees what the system sees: a buffer that was touched and freed again."""

import numpy
import pytest

from roam_lab.runtime import process_peak
from roam_lab.runtime.process_peak import PeakMeter, ProcessPeak

MIB = 2**20


def touch(size):
    return int(numpy.ones(size, dtype=numpy.uint8)[-1])


@pytest.mark.parametrize("sampled", [False, True])
def test_sees_a_buffer_that_is_gone(monkeypatch, sampled):
    if sampled:
        monkeypatch.setattr(process_peak, "_reset_high_water", lambda: False)
    with PeakMeter() as meter:
        for _ in range(5):
            touch(64 * MIB)
    # the sampler may look before the last page is touched
    assert (40 if sampled else 62) * MIB <= meter.result.above_base_bytes <= 80 * MIB
    assert meter.result.reserved_bytes is None
    assert ("sampled" in meter.result.how) is sampled


def test_earlier_peaks_do_not_count():
    touch(128 * MIB)
    with PeakMeter() as meter:
        touch(8 * MIB)
    assert meter.result.above_base_bytes < 32 * MIB


def test_never_negative():
    assert ProcessPeak(10, 5, "made up").above_base_bytes == 0
