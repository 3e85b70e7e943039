"""The front end's build: with node, without, and what is then installed; no network and no browser are needed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import roam_lab
from tests.browser import FRONTEND, require_browser

ROOT = Path(__file__).parents[2]
SHARE = "data/share/jupyter/labextensions/roam-lab"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    pytest.importorskip("hatchling", reason="the build's own package; pip install hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a build reads, without a built front end and without fetched packages."""
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    ignore = shutil.ignore_patterns("node_modules", "lib", ".yarn", "__pycache__", "tsconfig.tsbuildinfo")
    shutil.copytree(ROOT / "labextension", tmp_path / "labextension", ignore=ignore)
    (tmp_path / "roam_lab").mkdir()
    (tmp_path / "roam_lab" / "__init__.py").write_text("")
    return tmp_path


def fake_frontend(project: Path) -> None:
    built = project / "roam_lab" / "labextension"
    (built / "static").mkdir(parents=True)
    (built / "static" / "remoteEntry.0.js").write_text("")
    (built / "package.json").write_text("{}")


def make(project: Path, mode: str, target: str = "wheel", path: str = "") -> subprocess.CompletedProcess[str]:
    """Build with hatchling itself, `path` as PATH: empty, there is no node."""
    pytest.importorskip("hatchling", reason="the build's own package; pip install hatchling")
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", "out"],
        cwd=project,
        env={**os.environ, "ROAM_LAB_FRONTEND": mode, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def wheel_names(project: Path) -> list[str]:
    (wheel,) = (project / "out").glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_without_node_the_wheel_has_no_panel(project: Path) -> None:
    done = make(project, "auto")
    assert done.returncode == 0, done.stderr
    assert "without its JupyterLab panel: node is not on PATH" in done.stdout + done.stderr
    names = wheel_names(project)
    assert "roam_lab/__init__.py" in names
    assert not [name for name in names if "labextension" in name]


RUN = """
import sys, roam_lab, torch
from IPython.testing.globalipapp import start_ipython
shell = start_ipython()
print(roam_lab.__file__)
model, batch = torch.nn.Linear(4, 2), (torch.randn(3, 4), torch.tensor([0, 1, 1]))
shell.user_ns.update(model=model, batch=batch, loss=torch.nn.CrossEntropyLoss())
shell.run_line_magic("load_ext", "roam_lab")
profile = shell.run_line_magic("roam", "profile model batch --loss loss")
print(type(profile).__name__, profile.captured_peak_bytes > 0)
shell.run_line_magic("roam", "doctor")
"""


@pytest.mark.slow
def test_a_wheel_built_without_node_installs_and_runs(project: Path, tmp_path: Path) -> None:
    """Into a folder of its own, with the packages that are here; `pip install --no-deps` needs no network."""
    shutil.rmtree(project / "roam_lab")
    ignore = shutil.ignore_patterns("labextension", "__pycache__")
    shutil.copytree(ROOT / "roam_lab", project / "roam_lab", ignore=ignore)
    assert make(project, "auto").returncode == 0
    (wheel,) = (project / "out").glob("*.whl")
    target, home = tmp_path / "installed", tmp_path / "home"
    home.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target), "HOME": str(home), "IPYTHONDIR": str(home / "ipython")}
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(target / "roam_lab" / "__init__.py") in done.stdout
    assert "Profile True" in done.stdout
    doctor = subprocess.run(
        [sys.executable, "-m", "roam_lab", "doctor"],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"^roam-lab +" + re.escape(roam_lab.__version__), doctor.stdout.strip())
    assert (target / "bin" / "roam").is_file()


def test_require_fails_in_one_sentence(project: Path) -> None:
    done = make(project, "require")
    assert done.returncode != 0
    assert re.search(r"FrontendError: node is not on PATH; install Node.js 20 or newer", done.stderr)
    assert not (project / "out").exists() or not list((project / "out").glob("*.whl"))


def test_skip_does_not_try(project: Path) -> None:
    done = make(project, "skip", path=os.environ["PATH"])
    assert done.returncode == 0, done.stderr
    assert "panel" not in done.stdout + done.stderr


def test_an_unknown_mode_is_refused(project: Path) -> None:
    done = make(project, "yes")
    assert done.returncode != 0
    assert "ROAM_LAB_FRONTEND is 'yes'; set it to auto, require or skip." in done.stderr


def test_a_built_front_end_ships_once(project: Path) -> None:
    fake_frontend(project)
    done = make(project, "require")
    assert done.returncode == 0, done.stderr
    shipped = [name for name in wheel_names(project) if "labextension" in name]
    assert [name.split(".data/")[-1] for name in sorted(shipped)] == [
        f"{SHARE}/{name}" for name in ("install.json", "package.json", "static/remoteEntry.0.js")
    ]


def test_the_sdist_carries_it_built(project: Path) -> None:
    fake_frontend(project)
    (project / "labextension" / "node_modules" / "x").mkdir(parents=True)
    (project / "labextension" / "node_modules" / "x" / "index.js").write_text("")
    done = make(project, "require", target="sdist")
    assert done.returncode == 0, done.stderr
    (sdist,) = (project / "out").glob("*.tar.gz")
    shutil.unpack_archive(sdist, project / "unpacked", filter="data")
    (tree,) = (project / "unpacked").iterdir()
    assert (tree / "roam_lab" / "labextension" / "static" / "remoteEntry.0.js").is_file()
    assert (tree / "labextension" / "src" / "index.ts").is_file()
    assert not (tree / "labextension" / "node_modules").exists()
    assert make(tree, "require").returncode == 0  # from the sdist no node is needed
    assert [name for name in wheel_names(tree) if "remoteEntry" in name]


def test_newer_sources_are_built_again(project: Path, hook: Any) -> None:
    source, built = project / "labextension", project / "roam_lab" / "labextension"
    assert not hook.is_fresh(source, built)
    fake_frontend(project)
    assert hook.is_fresh(source, built)
    later = (built / "package.json").stat().st_mtime + 10
    os.utime(source / "src" / "index.ts", (later, later))
    assert not hook.is_fresh(source, built)


def test_one_version_everywhere() -> None:
    version = json.loads((ROOT / "labextension" / "package.json").read_text())["version"]
    assert version == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version == roam_lab.__version__


def test_jupyter_lists_it_enabled_and_ok(tmp_path: Path) -> None:
    require_browser()
    (tmp_path / "labextensions").mkdir()
    shutil.copytree(FRONTEND, tmp_path / "labextensions" / "roam-lab")
    shutil.copy(ROOT / "labextension" / "install.json", tmp_path / "labextensions" / "roam-lab")
    home = {"JUPYTER_PATH": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_DATA_DIR": str(tmp_path / "d")}
    done = subprocess.run(
        [sys.executable, "-c", "from jupyterlab.labextensions import main; main()", "list"],
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        check=True,
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    assert re.search(rf"roam-lab v{re.escape(roam_lab.__version__)} enabled +OK +\(python, roam-lab\)", plain), plain


def test_the_paths_that_develop_asks_for() -> None:
    (path,) = roam_lab._jupyter_labextension_paths()
    assert Path(roam_lab.__file__).parent / path["src"] == FRONTEND
    assert path["dest"] == "roam-lab"
