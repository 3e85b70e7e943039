"""Every kind of rewriting alone and all together, at three budgets, against eager steps; all of it in `make test-slow`,
and as a table by `python -m tests.runtime.rewrite_bits`."""

import pytest

from tests.runtime.offloading import LateCopies
from tests.runtime.rewrite_bits import ALONE, NAMES, WAYS, compared

QUICK = [("lstm", "plain"), ("resnet", "accumulated")]
MATRIX = [
    pytest.param(name, way, marks=[] if (name, way) in QUICK else pytest.mark.slow) for name in NAMES for way in WAYS
]


@pytest.mark.parametrize(("name", "way"), MATRIX)
def test_four_steps_are_the_same(name, way, monkeypatch):
    monkeypatch.setattr("roam_lab.runtime.host_memory.PlainCopies", LateCopies)
    results = list(compared(name, way))
    assert [str(one) for one in results if one.wrong] == []
    together = [one for one in results if one.kinds == ALONE]
    assert len(together) >= 2
    assert {kind for one in results for kind in one.used} == set(ALONE)
