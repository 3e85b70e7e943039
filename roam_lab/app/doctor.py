"""What is installed here, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from roam_lab.app.host import host, installed

FRONT_ENDS = (
    Path(__file__).parents[1] / "labextension" / "package.json",
    Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "roam-lab" / "package.json",
    Path.home() / ".local" / "share" / "jupyter" / "labextensions" / "roam-lab" / "package.json",
)
"""Where a source tree, an installation and one for a single user have it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is empty when all is well."""

    what: str
    found: str
    advice: str = ""


def findings() -> list[Finding]:
    """Everything that was looked at, what roam-lab needs first."""
    lab = "pip install 'roam-lab[lab]'"
    needed = {
        "torch": "pip install torch",
        "ortools": "pip install ortools: proofs and splits need it",
        "pulp": "pip install pulp: ILP strategies need it",
        "highspy": "pip install highspy, or choose solver cbc",
        "numba": "pip install numba: exact layouts take very long without",
        "ipywidgets": f"{lab}: the panel needs it",
        "bokeh": f"{lab}: figures stay still pictures without",
        "jupyter_bokeh": f"{lab}: figures stay still pictures without",
        "jupyterlab": f"{lab}: the viewer and the side panel need it",
        "resvg_py": f"{lab}: PNG export needs it",
    }
    own = Finding("roam-lab", importlib.metadata.version("roam-lab"))
    return [
        own,
        Finding("python", platform.python_version()),
        *(_package(name, advice) for name, advice in needed.items()),
        _cuda(),
        _front_end(),
        _host(),
    ]


def doctor_data() -> dict[str, Any]:
    """For `roam doctor --json`; `well` says that nothing is missing."""
    found = findings()
    return {"well": not any(one.advice for one in found), "findings": [asdict(one) for one in found]}


def doctor_text() -> str:
    """A line for each finding; what wants doing is marked."""
    return "\n".join(
        f"{'!' if one.advice else ' '} {one.what:<14} {one.found}{f': {one.advice}' if one.advice else ''}"
        for one in findings()
    )


def _package(name: str, advice: str) -> Finding:
    if not installed(name):
        return Finding(name, "missing", advice)
    try:
        return Finding(name, importlib.metadata.version(name.replace("_", "-")))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "installed")


def _cuda() -> Finding:
    if "torch" not in sys.modules and not installed("torch"):
        return Finding("CUDA", "not looked at, as torch is missing")
    import torch

    if not torch.cuda.is_available():
        return Finding("CUDA", "no device: steps run and are measured on the CPU")
    return Finding("CUDA", f"{torch.cuda.get_device_name()}, driver for CUDA {torch.version.cuda}")


def _front_end() -> Finding:
    if any(path.is_file() for path in FRONT_ENDS):
        return Finding("lab extension", "built in")
    return Finding(
        "lab extension",
        "missing: this copy was built without node",
        "install node 20 or newer and build again; all but the viewer and the side panel works without",
    )


def _host() -> Finding:
    here = host()
    return Finding("shown in", here.name, here.why if here.name not in ("terminal", "none") else "")
