"""The support table: what a run of the tests leaves behind, and the page made of it."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SAMPLES = """
import pytest, torch

def test_good(): assert torch
def test_bad(): raise ValueError("the *first* line\\nthe second")
def test_left_out(): pytest.skip("no device")
@pytest.fixture
def broken():
    yield
    raise KeyError("teardown")
def test_whose_teardown_fails(broken): pass
"""


@pytest.fixture
def support(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import support

    return support


@pytest.fixture(params=[pytest.param(how, marks=pytest.mark.slow) for how in ((), ("-n", "1"))], ids=["here", "worker"])
def result(request, tmp_path):
    """The result file of a run over sample tests instead of the project's."""
    (tmp_path / "test_sample.py").write_text(SAMPLES)
    (tmp_path / "test_unreadable.py").write_text("from torch import what_is_not_there\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    code = (
        "import sys; sys.argv[0] = 'support.py'; import support; support.torch_tests = lambda: ['.']; "
        "sys.exit(support.main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "run", "torch", "--packages", "newest", "--results", "found"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*words, "-p", "no:cacheprovider", *request.param],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr  # pytest's own: some tests failed
    (file,) = (tmp_path / "found").iterdir()
    return file.name, json.loads(file.read_text())


def test_a_run_leaves_counts_and_reasons(result):
    name, data = result
    assert name.startswith(f"torch-{data['torch'].partition('+')[0]}-newest-python-3.{sys.version_info.minor}-")
    assert data["files"] == {
        "test_sample.py": {"passed": 1, "failed": 2, "skipped": 1},
        "test_unreadable.py": {"passed": 0, "failed": 1, "skipped": 0},
    }
    assert data["failures"]["test_sample.py::test_bad"] == "ValueError: the *first* line"
    assert data["failures"]["test_sample.py::test_whose_teardown_fails"] == "KeyError: 'teardown'"
    assert "cannot import name 'what_is_not_there'" in data["failures"]["test_unreadable.py"]


def row(torch, packages="pinned", failed=0, failures=None):
    return {
        "torch": torch,
        "packages": packages,
        "date": "2026-11-25T22:00:00Z",
        "commit": "abc1234",
        "machine": {"processor": "AMD EPYC 7763 64-Core Processor"},
        "versions": {"python": "3.11.7"},
        "files": {"tests/runtime/test_identity.py": {"passed": 90, "failed": failed, "skipped": 0}},
        "failures": failures or {},
    }


def test_the_page_has_a_row_for_each_environment(support):
    other = row("2.14.1+cu130", failed=1, failures={"test_identity.py::test_models[cpu-llama]": "assert <1> == *2*"})
    other["files"]["tests/capture/test_capture.py"] = {"passed": 7, "failed": 0, "skipped": 2}
    page = support.page([other, row("2.9.1", "lowest"), row("2.9.1")], PROJECT)
    rows = [line for line in page.splitlines() if line.startswith("| 2")]
    when = "AMD EPYC 7763 | {} | 2026-11-25, abc1234 |"
    assert rows == [
        "| 2.9.1 | 3.11.7 | pinned | " + when.format("all 90 pass | not run"),
        "| 2.9.1 | 3.11.7 | lowest | " + when.format("all 90 pass | not run"),
        "| 2.14.1+cu130 | 3.11.7 | pinned | " + when.format("**1 fail**, 90 pass | all 7 pass, 2 skipped"),
    ]
    assert "- `test_identity.py::test_models[cpu-llama]`: assert \\<1\\> == \\*2\\*" in page
    assert f"Python {PROJECT['requires-python']} and torch" in page


def test_the_page_is_what_the_result_files_say(support):
    results = [json.loads(path.read_text()) for path in sorted(support.RESULTS.glob("*.json"))]
    assert support.PAGE.read_text() == support.page(results, PROJECT), "run `make support`"


def test_the_tests_that_import_torch_are_found(support):
    found = support.torch_tests()
    assert found[0] == support.IDENTITY
    assert {"tests/capture/test_capture.py", "tests/app/test_session.py"} <= set(found)
    assert "tests/ir/test_check.py" not in found


def test_the_lowest_versions_are_those_of_the_project_file(support):
    extras = {"lab": ["bokeh>=3.6,<4"], "dev": ["roam-lab[lab]", "ruff >= 0.6.1"]}
    project = {"dependencies": ["torch>=2.8", "numpy>=1.26"], "optional-dependencies": extras}
    assert support.lowest(project) == "bokeh==3.6\nnumpy==1.26\nruff==0.6.1\ntorch==2.8\n"
    bounded = {entry.partition(">=")[0] for entry in PROJECT["dependencies"]}
    assert {line.partition("==")[0] for line in support.lowest(PROJECT).splitlines()} > bounded


def test_a_torch_that_does_not_install_is_skipped_in_one_line(tmp_path):
    words = {"INSTALL_SECONDS": "60", "BASE": sys.executable, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    nothing = {"PIP_CONFIG_FILE": os.devnull, "TMPDIR": str(tmp_path), "INSTALL_GIB": "0"}
    done = subprocess.run(
        [ROOT / ".ci" / "newest_identity"], env={**os.environ, **words, **nothing}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(
        "identity tests and fake CUDA device with the newest torch: skipped: torch did not install within 60 s (ERROR: "
    )
    assert list(tmp_path.iterdir()) == []  # the environment is gone
