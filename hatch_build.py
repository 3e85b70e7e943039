"""The build's own step: compile labextension/ into roam_lab/labextension, and ship it as JupyterLab finds it.

ROAM_LAB_FRONTEND says what happens without node: "auto" (default) warns and goes on without the panel, "require" fails,
"skip" does not even try. A front end that is already built and newer than its sources is taken as it is, so that an
sdist installs with the panel where there is no node.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODES = ("auto", "require", "skip")
SECONDS = 600
SHARE = "share/jupyter/labextensions/roam-lab"


class FrontendError(Exception):
    """The front end cannot be built; the message is one sentence."""


class FrontendHook(BuildHookInterface[Any]):
    """Builds the front end before a wheel, an editable install or an sdist is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        mode = os.environ.get("ROAM_LAB_FRONTEND", "auto")
        if mode not in MODES:
            raise FrontendError(f"ROAM_LAB_FRONTEND is {mode!r}; set it to {', '.join(MODES[:-1])} or {MODES[-1]}.")
        built = root / "roam_lab" / "labextension"
        if mode != "skip" and not is_fresh(root / "labextension", built):
            try:
                build(root / "labextension")
            except FrontendError as error:
                if mode == "require":
                    raise
                self.app.display_warning(f"roam-lab is built without its JupyterLab panel: {error}")
        if self.target_name == "wheel" and is_built(built):
            build_data["shared_data"][str(built)] = SHARE
            build_data["shared_data"][str(root / "labextension" / "install.json")] = f"{SHARE}/install.json"


def is_built(built: Path) -> bool:
    """Whether `built` holds a whole front end."""
    return (built / "package.json").is_file() and any(built.glob("static/remoteEntry.*.js"))


def is_fresh(source: Path, built: Path) -> bool:
    """Whether `built` is there and no source is newer than it."""
    if not is_built(built):
        return False
    files = [source / "package.json", source / "yarn.lock", source / "tsconfig.json"]
    files += [file for folder in ("src", "style") for file in (source / folder).rglob("*")]
    return max(file.stat().st_mtime for file in files) <= (built / "package.json").stat().st_mtime


def build(source: Path) -> None:
    """Fetch what the lock file names and compile. Raises FrontendError."""
    if shutil.which("node") is None:
        raise FrontendError("node is not on PATH; install Node.js 20 or newer, or set ROAM_LAB_FRONTEND=skip.")
    jlpm = [sys.executable, "-c", "from jupyter_builder.jlpm import main; main()"]
    _run(source, "its packages cannot be fetched", [*jlpm, "install", "--immutable"])
    _run(source, "its TypeScript does not compile", [*jlpm, "tsc"])
    _run(source, "it cannot be bundled", [sys.executable, "-m", "jupyter_builder.main", "build", "."])


def _run(source: Path, failure: str, command: list[str]) -> None:
    quiet = {"YARN_ENABLE_TELEMETRY": "0", "YARN_HTTP_RETRY": "1", "YARN_ENABLE_PROGRESS_BARS": "0"}
    try:
        done = subprocess.run(
            command, cwd=source, env={**os.environ, **quiet}, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise FrontendError(f"{failure} within {SECONDS} s; try again, or set ROAM_LAB_FRONTEND=skip.") from None
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"\berror\b|Error:", line)] or lines[-1:]
        reason = errors[0].strip() if errors else f"exit status {done.returncode}"
        raise FrontendError(f"{failure} ({reason}); repair that, or set ROAM_LAB_FRONTEND=skip.")
