"""The path of a first time in real JupyterLab: profile, read the verdict, drag the cursor, allow 5 % more time, export,
train by the script. How soon each answer comes is measured by benchmarks/panel.py and benchmarks/cursor.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.lab.panel_page import Panel, opened_panel
from tests.report.figures.in_page import attribute, column, place_in, step_of

ROOT = Path(__file__).parents[2]
EAGER = """
for number in range(4):
    train_step(model, optimizer, batch)
"""
KEEP = "\ntorch.save([model.state_dict(), optimizer.state_dict()['state']], {!r})\n"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    with opened_panel(tmp_path_factory.mktemp("first"), 1400) as opened:
        yield opened


def test_from_profile_to_a_script_that_trains_bit_for_bit(panel: Panel) -> None:
    tab, root = panel.page.page, panel.path.parent
    # the verdict
    verdict = panel.page.locator(".jp-CodeCell").nth(2)
    verdict.scroll_into_view_if_needed()
    picture = verdict.locator("img.roam-image").first
    assert picture.get_attribute("alt").startswith("Whole training step of base")
    assert picture.evaluate("one => one.complete && one.naturalWidth") > 0
    assert "predicted; fits 16 GB" in verdict.locator(".roam-verdict").inner_text()
    # the cursor, which all figures follow
    place_in(tab, "roam-memory", 0.5, 0.5)  # into sight
    tab.wait_for_timeout(1000)
    steps = [column(tab, "roam-cursor", "step")[0]]
    for end in (0.3, 0.7):
        # both places first: BokehJS takes a button that is held still for a moment for a long press, and no drag
        left, right = (place_in(tab, "roam-memory", part, 0.5) for part in (0.1, end))
        tab.mouse.move(*left)
        tab.mouse.down()
        tab.mouse.move(*right, steps=3)
        tab.mouse.up()
        step = step_of(tab)
        assert step not in steps
        steps.append(step)
        assert f"step {step + 1:,} of" in column(tab, "roam-icicle-data", "label")[0]
        assert attribute(tab, "roam-selection", "data")["storage"] == [-1]
        tab.get_by_text(re.compile(f"^step {step + 1:,} of")).first.wait_for()
    # 5 % more time
    names = panel.kernel("[row.name for row in panel.bench.what_ifs]")
    panel.tick("extra time")
    tab.wait_for_function(REWRITTEN)
    panel.wait_until("not panel.background.busy", 120)
    (chosen,) = panel.kernel(f"[row.name for row in panel.bench.what_ifs if row.name not in {names}]")
    assert 0 < panel.kernel(f"panel.bench.what_ifs[{chosen!r}].plan.extra_time") <= 0.05
    assert "more time" in panel.page.locator(".roam-verdict").last.inner_text()
    # the script
    panel.choose("as", "a script: plain PyTorch")
    tab.get_by_role("button", name="Export base: ").click()
    panel.page.locator("[role=status]").filter(has_text="wrote plan.py and plan.roam.json").wait_for()
    script = (root / "plan.py").read_text()
    setup = script[: script.index("import roam_lab as roam")]
    found = train(root, script, "planned.pt")
    assert found.splitlines()[-1].startswith("4 planned, 0 eager")
    train(root, setup + EAGER, "eager.pt")
    planned, eager = (torch.load(root / name) for name in ("planned.pt", "eager.pt"))
    assert same(planned, eager)
    assert len(leaves(planned)) > 40


REWRITTEN = "() => [...document.querySelectorAll('.roam-verdict')].some(one => one.innerText.includes('% more time'))"
"""Whether the head of the panel shows a plan that adds time."""


def train(root: Path, script: str, kept: str) -> str:
    """Run the script in a process of its own, and keep what it trained; what it printed."""
    path = root / f"{kept}.py"
    path.write_text(script + KEEP.format(kept))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, path.name], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def leaves(value: Any) -> list[torch.Tensor]:
    """Every tensor of nested lists and dicts."""
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [leaf for one in inner for leaf in leaves(one)]


def same(one: Any, other: Any) -> bool:
    """Whether both hold the same tensors, to the bit."""
    pairs = list(zip(leaves(one), leaves(other), strict=True))
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)
