"""Captured training steps, judged by the judge that shares no code with us."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from roam_lab.ir import load_graph
from roam_lab.plan import make_plan
from tests.plan.graphs import SHARED

# Name -> the most MiB that the plan may need (DESIGN, measured beforehand).
STEPS = {
    "gpt2_seq128_batch1_adamw": 294.5,
    "vit_b16_batch1_adamw": 116.2,
    "resnet50_batch1_adamw": 90.2,
    "gpt2_xl_seq128_batch1_adamw_fused": 1501.1,
    "efficientnet_b0_batch1_adamw": 87.1,
    "bert_base_batch32_adamw": 4947.6,
    "gpt2_seq128_batch32_adamw": 7564.6,
    "resnet50_batch32_adamw": 2627.9,
}


@pytest.mark.skipif(not SHARED.exists(), reason="../shared with captured steps and the judge is not here")
@pytest.mark.parametrize("name", STEPS)
def test_a_captured_step(name: str, tmp_path: Path) -> None:
    source, target = SHARED / "graphs" / f"{name}.json.gz", tmp_path / "p.roam.json"
    plan = make_plan(load_graph(source))
    plan.save(target)
    command = [sys.executable, str(SHARED / "judge.py"), str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    figures = json.loads(done.stdout)
    assert figures["peak"] <= STEPS[name] * 2**20
    assert figures["arena_over_peak"] <= 1.002
    assert plan.optimal
    assert plan.seconds < 20  # generous: the machine may be busy
