"""The planning rooms work without torch, bokeh or ipywidgets, and this check can fail."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "bokeh", "ipywidgets", "IPython", "pandas")
PLAN = """
import roam_lab.ir, roam_lab.order, roam_lab.layout, roam_lab.plan
from tests.plan.graphs import pumpkin
roam_lab.plan.make_plan(pumpkin())
"""


def loaded(code: str) -> str:
    """The heavy packages that running `code` has imported, comma-separated."""
    report = f"import sys; print(','.join(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_planning_is_light() -> None:
    assert loaded(PLAN) == ""


def test_the_check_can_fail() -> None:
    assert "IPython" in loaded(f"{PLAN}\nimport IPython").split(",")
