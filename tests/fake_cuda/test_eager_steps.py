"""Whole eager steps of six models: the real caching allocator, the simulated one, and what capture alone foretells."""

import json
import subprocess
import sys

import pytest
import torch

from tests.fake_cuda.larger import LARGER

MIB = 1 << 20
MEASURED = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 14)
"""The bounds hold where they were measured; older torch gives cublasLt a workspace of its own (1 MiB), and native
convolutions more."""
OFF = {"llama": 0.02, "resnet": 0.02}
"""Above 1 %: Python's variables keep blocks of 1 MiB for longer than the graph has them, each in a segment of 2 MiB;
and the native convolution takes columns for itself, which nothing foretells (cuDNN's takes other things)."""


@pytest.fixture(scope="module")
def found():
    """Model -> what `eager_steps` wrote of it."""
    arguments = ["-m", "tests.fake_cuda.eager_steps", *LARGER]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=600, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == len(LARGER), done.stderr
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize("name", LARGER)
def test_the_same_requests_hold_the_same_bytes(found, name):
    assert found[name]["steps"] == [True] * 4


@pytest.mark.parametrize("name", LARGER)
def test_what_is_foretold_from_the_captured_step(found, name):
    real, predicted = found[name]["real"], found[name]["predicted"]
    assert predicted["reserved"] == pytest.approx(real["reserved"], rel=OFF.get(name, 0.01 if MEASURED else 0.02))
    assert predicted["allocated"] == pytest.approx(real["allocated"], rel=0.015 if MEASURED else 0.035)
    assert found[name]["workspaces"] == 64 * MIB


@pytest.mark.parametrize("name", LARGER)
def test_the_least_with_which_it_runs(found, name):
    """Cached segments are given back first: eager runs in less than it reserves where there is enough."""
    assert found[name]["runs"] == [False, True]


@pytest.mark.parametrize("name", LARGER)
def test_what_ops_take_for_themselves_explains_the_rest(found, name):
    real, with_own = found[name]["real"], found[name]["with_own"]
    assert with_own["reserved"] == pytest.approx(real["reserved"], rel=0.02 if name == "llama" else 0.01)
    assert with_own["allocated"] == pytest.approx(real["allocated"], rel=0.005 if MEASURED else 0.025)
