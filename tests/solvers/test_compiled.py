"""Functions that numba compiles: they run where their machine code cannot be kept."""

import pytest

from roam_lab.solvers.compiled import compiled

resource = pytest.importorskip("resource")


@compiled
def added(one, other):
    return one + other


def test_machine_code_that_a_full_disk_does_not_take():
    pytest.importorskip("numba")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        assert added(1, 2) == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
