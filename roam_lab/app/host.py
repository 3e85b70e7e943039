"""Which front end shows this kernel's output, and what it can show."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from typing import Literal

Name = Literal["jupyter", "colab", "vscode", "terminal", "none"]


@dataclass(frozen=True, slots=True)
class Host:
    """`widgets`: ipywidgets show and answer here. `bokeh`: live bokeh figures do; else SVG. `why`: what is missing."""

    name: Name
    widgets: bool
    bokeh: bool
    why: str = ""


def host() -> Host:
    """The front end of the running IPython kernel, by what it leaves in the environment."""
    name = _name()
    if name in ("terminal", "none"):
        return Host(name, False, False, "no notebook: figures are shown as text; export .svg to see them")
    missing = [package for package in ("ipywidgets", "bokeh", "jupyter_bokeh") if not installed(package)]
    if "ipywidgets" in missing:
        return Host(
            name, False, False, "ipywidgets is missing: pip install 'roam-lab[lab]'; figures are still pictures"
        )
    if name in ("vscode", "colab"):
        return Host(
            name, True, False, f"{name} loads third-party widget code from a network: figures are still pictures"
        )
    if missing:
        names = " and ".join(missing)
        return Host(name, True, False, f"{names} missing: pip install 'roam-lab[lab]'; figures are still pictures")
    return Host(name, True, True)


def installed(package: str) -> bool:
    """Whether `import package` would find something."""
    return importlib.util.find_spec(package) is not None


def _name() -> Name:
    if "IPython" not in sys.modules:
        return "none"
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return "none"
    if "google.colab" in sys.modules:
        return "colab"
    if not hasattr(shell, "kernel"):
        return "terminal"
    return "vscode" if any(key.startswith("VSCODE") for key in os.environ) else "jupyter"
