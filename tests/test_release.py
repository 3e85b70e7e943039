"""A release: one version everywhere, what wheel and sdist must hold, fragments of the changelog, the hosted CI."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WHEEL = ["roam_lab/__init__.py", "roam_lab/py.typed", "roam_lab-1.dist-info/licenses/LICENSE"]
FRONT_END = "roam_lab-1.data/data/share/jupyter/labextensions/roam-lab"
WHEEL += [f"{FRONT_END}/package.json", f"{FRONT_END}/static/remoteEntry.0.js"]
PACKAGE = {"roam_lab/__init__.py", "roam_lab/py.typed"}
SDIST = [
    f"roam_lab-1/{name}"
    for name in (
        "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml", "hatch_build.py", "Makefile",
        "docs/index.md", "tests/conftest.py", "labextension/src/index.ts", "roam_lab/labextension/package.json",
        "roam_lab/__init__.py", "roam_lab/py.typed",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["release"] = module
    spec.loader.exec_module(module)
    return module


def test_one_version_in_every_file(release, tmp_path, monkeypatch):
    version = release.version_everywhere()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    for name in ("pyproject.toml", "CITATION.cff", "labextension/package.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "CITATION.cff").write_text("version: 9.9.9\n")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    with pytest.raises(release.ReleaseError, match=rf"CITATION.cff says version 9.9.9, pyproject.toml {version}"):
        release.version_everywhere()


def test_the_oldest_torch_is_that_of_the_project(release):
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", release.oldest_torch())
    bound = release.oldest_torch().removeprefix("torch==").removesuffix(".0")
    assert f'"torch>={bound}"' in (ROOT / "pyproject.toml").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"] == f">={release.OLDEST}"


def test_a_wheel_is_whole_and_holds_nothing_else(release):
    release.check_wheel(WHEEL, PACKAGE)
    for left_out, text in (
        ("roam_lab/py.typed", "lacks roam_lab/py.typed"),
        (f"{FRONT_END}/static/remoteEntry.0.js", "lacks the JupyterLab front end"),
        ("roam_lab-1.dist-info/licenses/LICENSE", "lacks the LICENSE"),
    ):
        with pytest.raises(release.ReleaseError, match=text):
            release.check_wheel([name for name in WHEEL if name != left_out], PACKAGE)
    with pytest.raises(release.ReleaseError, match=r"holds tests/conftest\.py, which is no part of the package"):
        release.check_wheel([*WHEEL, "tests/conftest.py"], PACKAGE)


def test_an_sdist_is_whole_and_holds_nothing_made_here(release):
    release.check_sdist(SDIST, PACKAGE)
    with pytest.raises(release.ReleaseError, match=r"the sdist lacks Makefile"):
        release.check_sdist([name for name in SDIST if not name.endswith("Makefile")], PACKAGE)
    for strange in ("labextension/node_modules/x/index.js", "roam_lab/__pycache__/x.pyc", ".venv-docs/pyvenv.cfg"):
        with pytest.raises(release.ReleaseError, match="which is made here"):
            release.check_sdist([*SDIST, f"roam_lab-1/{strange}"], PACKAGE)


def test_a_python_that_is_not_here_is_named(release):
    assert Path(release.interpreter(f"{sys.version_info[0]}.{sys.version_info[1]}")).exists()
    with pytest.raises(release.ReleaseError, match=r"there is no Python 3\.99 here; install it"):
        release.interpreter("3.99")


def test_a_command_that_fails_is_told_in_one_sentence(release):
    assert release._run("said", [sys.executable, "-c", "print('yes')"]) == "yes\n"
    with pytest.raises(release.ReleaseError, match=r"^asked failed with status 3: no$"):
        release._run("asked", [sys.executable, "-c", "import sys; print('no'); sys.exit(3)"])


def test_fragments_are_named_as_towncrier_reads_them():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
    kinds = "|".join(kind["directory"] for kind in settings["type"])
    found = [path for path in (ROOT / settings["directory"]).iterdir() if path.name not in settings["ignore"]]
    for path in found:
        assert re.fullmatch(rf"(\+[\w-]+|\d+)(\.\d+)?\.({kinds})(\.\d+)?\.md", path.name), path.name
        assert path.read_text().strip().endswith((".", ")")), path.name
    assert settings["start_string"] in (ROOT / settings["filename"]).read_text()


def test_the_hosted_ci_does_what_the_own_one_does():
    steps = re.findall(r"^ +- run: (.*)$", (ROOT / ".github" / "workflows" / "ci.yml").read_text(), re.MULTILINE)
    assert [step.partition(" #")[0].rpartition(" ")[2] for step in steps] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
