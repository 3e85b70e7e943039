"""Tests on a CUDA device that computes nothing (device/README.md), of `make test-fake-cuda`; elsewhere they skip."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FAKE = bool(os.environ.get("ROAM_FAKE_CUDA"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if FAKE:
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="no fake CUDA device is loaded; make test-fake-cuda does that"))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The fake device may crash when CUDA's libraries are torn down: the process ends before."""
    if FAKE:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(getattr(config, "_fake_cuda_status", 0)))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config._fake_cuda_status = int(exitstatus)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def as_the_fake_can(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """cuDNN's convolutions crash: the native ones run. Results hold what was there: no writer is tried by its bits."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("roam_lab.measure.op_recorder.try_writer", lambda *_: None)
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    yield
    torch.backends.cudnn.enabled = before
