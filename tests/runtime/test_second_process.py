"""The second start of whole scripts, in a process of its own: no trace, and every bit as in the first and eagerly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("second_process.py")


def starts(models, folder, times):
    """What the script tells of each model, start by start."""
    environment = {**os.environ, "ROAM_CACHE": str(folder), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random"}
    heard = []
    for _ in range(times):
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *models], capture_output=True, text=True, env=environment, check=True
        )
        heard.append(json.loads(done.stdout.splitlines()[-1]))
    return heard


def check(models, folder):
    first, second = starts(models, folder, 2)
    for model in models:
        assert first[model]["hooked"] == first[model]["eager"], model
        assert second[model]["hooked"] == first[model]["hooked"], model
        assert first[model]["traces"] > 0, model
        assert second[model]["traces"] == 0, (model, second[model]["notes"])
        assert first[model]["notes"] == [], model
        [note] = second[model]["notes"]
        assert note.startswith("not checked against the eager step: capture and plan have passed"), model
        assert second[model]["planned"] == second[model]["steps"], model


@pytest.mark.slow
def test_plain_models(tmp_path):
    check(["gpt2", "clipped"], tmp_path)


@pytest.mark.slow
def test_more_plain_models(tmp_path):
    check(["perceptron", "residual"], tmp_path)


@pytest.mark.slow
def test_models_of_transformers(tmp_path):
    check(["transformers gpt2", "transformers bert", "transformers llama"], tmp_path)
