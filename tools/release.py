"""Builds a release and tries it: `make release`, or `python tools/release.py --help`.

Wheel and sdist are built (the front end included), their metadata and contents are checked, and each is installed into
a fresh environment, the wheel on the oldest Python and torch that are supported, the sdist on the newest. There a
small training step is profiled, planned and verified bit for bit by the installed `roam` command. Nothing is uploaded,
nothing is tagged. Ends with 1 at the first thing that is wrong, with one sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST, NEWEST = "3.11", "3.13"
"""Of Python: what requires-python says, and the newest that every dependency has wheels for."""
FRONT_END = "share/jupyter/labextensions/roam-lab"
TINY = """
from roam_lab.demo import gpt2

gpt2.VOCABULARY, gpt2.POSITIONS, gpt2.WIDTH, gpt2.HEADS, gpt2.DEPTH, gpt2.TOKENS = 101, 16, 16, 2, 1, 8
factory = gpt2.factory
"""
"""The demo's model, small."""


class ReleaseError(Exception):
    """What keeps this tree from being released, in one sentence."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One installation: the Python, the torch requirement ("torch", "torch==2.8.0"), and which file is installed."""

    python: str
    torch: str
    artifact: Path


def project() -> dict[str, object]:
    """The table `project` of pyproject.toml."""
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def version_everywhere() -> str:
    """The version, where every file says the same. Raises ReleaseError."""
    version = str(project()["version"])
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    found = {
        "labextension/package.json": json.loads((ROOT / "labextension" / "package.json").read_text())["version"],
        "CITATION.cff": citation[1] if citation else "missing",
    }
    for file, other in found.items():
        if other != version:
            raise ReleaseError(f"{file} says version {other}, pyproject.toml {version}; write the same into both")
    return version


def oldest_torch() -> str:
    """The lower bound of pyproject.toml as an exact requirement: "torch==2.8.0"."""
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    (bound,) = [one.partition(">=")[2] for one in dependencies if re.match(r"torch\b", one)]
    return f"torch=={bound}" + ".0" * (2 - bound.count("."))


def build(folder: Path) -> tuple[Path, Path]:
    """Build into `folder`: (wheel, sdist), the wheel out of the sdist. Raises ReleaseError."""
    shutil.rmtree(folder, ignore_errors=True)
    _run("the build", [sys.executable, "-m", "build", "--outdir", str(folder)], {"ROAM_LAB_FRONTEND": "require"}, ROOT)
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        raise ReleaseError(f"{folder} holds {len(wheels)} wheels and {len(sdists)} sdists, not one of each")
    _run("twine check", [sys.executable, "-m", "twine", "check", "--strict", str(wheels[0]), str(sdists[0])])
    return wheels[0], sdists[0]


def sources() -> set[str]:
    """Every file of the package that git knows, from the root of the repository."""
    done = subprocess.run(["git", "ls-files", "roam_lab"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def check_wheel(names: Iterable[str], package: set[str]) -> None:
    """Raise ReleaseError unless a wheel holds the whole package, the front end once, the license, and nothing else."""
    found = set(names)
    _lacks("the wheel", package - found)
    front_end = [name for name in found if f".data/data/{FRONT_END}/" in name]
    if not any(name.endswith("/package.json") for name in front_end) or not any("remoteEntry" in n for n in front_end):
        raise ReleaseError("the wheel lacks the JupyterLab front end; install node, and build again")
    if not any(name.endswith("/licenses/LICENSE") for name in found):
        raise ReleaseError("the wheel lacks the LICENSE; see license-files in pyproject.toml")
    strange = sorted(n for n in found if n not in package and not re.match(r"roam_lab-[^/]+\.(dist-info|data)/", n))
    if strange:
        raise ReleaseError(f"the wheel holds {strange[0]}, which is no part of the package")


def check_sdist(names: Iterable[str], package: set[str]) -> None:
    """Raise ReleaseError unless an sdist holds what a build, the tests and a reader need, and nothing made here."""
    found = {name.partition("/")[2] for name in names}
    wanted = {"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml", "hatch_build.py", "Makefile"}
    wanted |= {"docs/index.md", "tests/conftest.py", "labextension/src/index.ts", "roam_lab/labextension/package.json"}
    _lacks("the sdist", (wanted | package) - found)
    for name in sorted(found):
        if re.search(r"(^|/)(node_modules|__pycache__|\.venv[^/]*|\.git|dist|build)/", name):
            raise ReleaseError(f"the sdist holds {name}, which is made here and belongs to no release")


def _lacks(what: str, missing: set[str]) -> None:
    if missing:
        raise ReleaseError(
            f"{what} lacks {sorted(missing)[0]}" + (f" and {len(missing) - 1} more" * (len(missing) > 1))
        )


def interpreter(version: str) -> str:
    """The Python of that version on PATH or of pyenv. Raises ReleaseError."""
    found = shutil.which(f"python{version}", path=_path_without_shims())
    if found is None and shutil.which("pyenv"):
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False).stdout
        names = [name for name in listed.split() if name == version or name.startswith(f"{version}.")]
        for name in reversed(names):
            done = subprocess.run(["pyenv", "prefix", name], capture_output=True, text=True, check=False)
            python = Path(done.stdout.strip(), "bin", "python")
            if done.returncode == 0 and python.is_file():
                return str(python)
    if found is None:
        raise ReleaseError(f"there is no Python {version} here; install it (pyenv install {version}), or name another")
    return found


def _path_without_shims() -> str:
    parts = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(part for part in parts if "shims" not in part)


def attempt(one: Attempt, version: str, whole_demo: bool) -> None:
    """Install and use one artifact in an environment and a folder of its own. Raises ReleaseError."""
    with tempfile.TemporaryDirectory(prefix="roam-release-") as folder:
        home = Path(folder)
        _run("venv", [one.python, "-m", "venv", str(home / "venv")])
        pip = [str(home / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _run(f"installing {one.torch}", [*pip, one.torch])
        _run(f"installing {one.artifact.name}", [*pip, str(one.artifact)])
        (home / "work").mkdir()
        for what, words, wanted in _uses(whole_demo, version):
            roam = str(home / "venv" / "bin" / "roam")
            (home / "work" / "tiny.py").write_text(TINY)
            told = _run(what, [roam, *words], {"ROAM_CACHE": str(home / "plans")}, home / "work")
            if not re.search(wanted, told):
                raise ReleaseError(f"{what} does not say {wanted!r}; it says: {told.strip()[-300:]!r}")


def _uses(whole_demo: bool, version: str) -> Iterator[tuple[str, Sequence[str], str]]:
    """What is asked of an installation: its name, the words behind `roam`, and what the answer holds."""
    yield "roam --version", ["--version"], re.escape(version)
    yield "roam strategies", ["strategies"], r"\bauto\b"
    yield "roam doctor", ["doctor"], rf"roam-lab +{re.escape(version)}"
    yield "roam profile", ["profile", "tiny.py:factory", "-o", "tiny.json.gz"], "tiny|factory"
    yield "roam plan", ["plan", "tiny.json.gz", "-o", "tiny.roam.json"], "peak"
    yield "roam verify", ["verify", "tiny.py:factory", "--plan", "tiny.roam.json", "--steps", "2"], "identical: yes"
    if whole_demo:
        yield "roam demo", ["demo"], r"bit-identical +yes"


def _run(what: str, words: Sequence[str], more: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """Standard output of a command that ends with 0, without this repository on its path. Raises ReleaseError."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, cwd=folder, env={**kept, **(more or {})}, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise ReleaseError(f"{what} failed with status {done.returncode}: {told[-1] if told else 'without a word'}")
    return done.stdout


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where wheel and sdist go (default dist/)")
    parser.add_argument("--oldest", default=OLDEST, metavar="VERSION", help=f"Python of the wheel (default {OLDEST})")
    parser.add_argument("--newest", default=NEWEST, metavar="VERSION", help=f"Python of the sdist (default {NEWEST})")
    parser.add_argument("--oldest-torch", default=oldest_torch(), metavar="REQUIREMENT", help="with the wheel")
    parser.add_argument("--newest-torch", default="torch", metavar="REQUIREMENT", help="with the sdist")
    parser.add_argument("--demo", action="store_true", help="run the whole `roam demo` in each, too (three minutes)")
    parser.add_argument("--only", choices=("build", "wheel", "sdist"), help="build alone, or try one of what was built")
    asked = parser.parse_args(words)
    try:
        version = version_everywhere()
        if asked.only in ("wheel", "sdist"):
            (wheel,), (sdist,) = asked.dist.glob("*.whl"), asked.dist.glob("*.tar.gz")
        else:
            wheel, sdist = build(asked.dist)
            print(f"built {wheel.name} and {sdist.name}", flush=True)
        with zipfile.ZipFile(wheel) as archive:
            check_wheel(archive.namelist(), sources())
        with tarfile.open(sdist) as packed:
            check_sdist([one.name for one in packed.getmembers() if one.isfile()], sources())
        attempts = {
            "wheel": (asked.oldest, asked.oldest_torch, wheel),
            "sdist": (asked.newest, asked.newest_torch, sdist),
        }
        for name, (python, torch, artifact) in attempts.items():
            if asked.only in (None, name):
                attempt(Attempt(interpreter(python), torch, artifact), version, asked.demo)
                print(f"{artifact.name}: installs and runs on Python {python} with {torch}", flush=True)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
