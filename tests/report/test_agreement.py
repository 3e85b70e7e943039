"""One plan, one figure: fit, report and frontier agree to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from roam_lab.app.workbench import Made, Workbench
from roam_lab.cli import main
from roam_lab.errors import InputError
from roam_lab.plan import load_plan
from roam_lab.plan.fit import Fit
from roam_lab.plan.fit_json import load_fit
from roam_lab.plan.frontier import Frontier
from roam_lab.plan.frontier_json import load_frontier
from roam_lab.plan.runs import Run
from roam_lab.plan.whole_step import eager_whole_bytes, planned_whole_bytes
from roam_lab.report.brief import brief_html, write_brief
from roam_lab.report.units import exact_text
from roam_lab.report.views.frontier import frontier_view

FACTORY = """
import torch

def make():
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (torch.nn.Linear(640, 640), torch.nn.GELU(), torch.nn.LayerNorm(640))]
    model = torch.nn.Sequential(torch.nn.Embedding(99, 640), *layers, torch.nn.Linear(640, 99))
    ids = torch.randint(0, 99, (4, 32))
    return {"model": model, "batch": ids, "loss": loss, "optimizer": torch.optim.AdamW(model.parameters())}

def loss(model, ids):
    return torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
"""


SIZES = {"tokens": 4, "images": 8}


class Images(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        maps = (part for width in (3, 16, 16) for part in (torch.nn.Conv2d(width, 16, 3, padding=1), torch.nn.ReLU()))
        self.layers = torch.nn.Sequential(*maps, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        given: torch.Tensor = self.layers(images)
        return given


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """Two profiles: one of tokens, whose batch has a sequence length, and one of images, whose has none."""
    made = Workbench()
    parts: dict[str, Any] = {}
    exec(FACTORY, parts)  # what the command line runs from a file
    with torch.device("meta"):
        tokens, images = parts["make"](), Images()
        pixels = (torch.empty(8, 3, 16, 16), torch.empty(8, dtype=torch.long))
    made.capture_named("tokens", Made(**tokens), fake=True)
    sgd = torch.optim.SGD(images.parameters())
    made.capture_named("images", Made(images, pixels, sgd, torch.nn.CrossEntropyLoss()), fake=True)
    return made


@pytest.fixture(scope="module")
def known(bench: Workbench) -> dict[str, tuple[Fit, Frontier]]:
    """Of each profile, at its own batch size and twice of it."""
    return {name: (bench.fit(name, [size, 2 * size], [0.1]), bench.frontier(name, 4)) for name, size in SIZES.items()}


@pytest.mark.parametrize("name", ["tokens", "images"])
@pytest.mark.parametrize("run", ["planned", 0.1])
def test_in_a_notebook(bench: Workbench, known: dict[str, tuple[Fit, Frontier]], name: str, run: Run) -> None:
    profile = bench.profiles[name]
    extra = 0.0 if run == "planned" else float(run)
    plan = bench.plan_named(f"{name} {run}", name, extra_time=extra).plan
    size = bench.batch_size(name)
    assert size == SIZES[name]
    fit, found = known[name]
    whole = planned_whole_bytes(plan)
    assert fit.points[0].need(run) == fit.need(size, run) == whole
    shown = {mark.role: mark for mark in frontier_view(found, plan).marks}["chosen"]
    assert shown.whole_bytes == whole
    if run == "planned":
        assert found.resident_bytes + found.points[0].arena_bytes == whole
    eager = eager_whole_bytes(profile)
    assert fit.need(size, "eager") == found.eager_bytes == eager
    page = brief_html(plan, profile=profile, fit=fit, frontier=found, batch=size)
    assert f"This plan, {exact_text(whole)}" in page
    assert f"Plain PyTorch, {exact_text(eager)}" in page
    assert f'<td style="text-align:right">{whole:,}</td>' in page or extra  # the picture's table, where it is a curve


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text(FACTORY)
    spec, graph, path, points, sizes, page = (
        str(tmp_path / name) for name in ("train.py:make", "g.json", "p.roam.json", "f.json", "s.json", "r.html")
    )
    assert main(["profile", spec, "--fake", "-o", graph]) == 0
    assert main(["plan", graph, "-o", path]) == 0
    assert main(["frontier", graph, "--points", "3", "-o", points]) == 0
    assert main(["fit", spec, "--batch-sizes", "4,8", "--extra-time", "0", "-o", sizes]) == 0
    words = ["--frontier", points, "--fit", sizes, "--price", "h100=3.25", "--price", "t4=1"]
    assert main(["report", path, "-o", page, "--currency", "EUR", "--gpus", "8", "--hours", "700", *words]) == 0
    plan, fit, found = load_plan(path), load_fit(sizes), load_frontier(points)
    whole = planned_whole_bytes(plan)
    text = Path(page).read_text()
    assert fit.need(4, "planned") == found.resident_bytes + found.points[0].arena_bytes == whole
    assert f"This plan, {exact_text(whole)}" in text
    assert f"Plain PyTorch, {exact_text(fit.need(4, 'eager'))}" in text
    assert "at batch size 4" in text  # by the one point of the fit that is this plan
    for wording in ('value="EUR"', 'value="8"', 'value="700"', 'value="3.25"', 'value="1.00"'):
        assert wording in text
    assert 'value="0.70"' not in text  # examples in dollars are no euros
    capsys.readouterr()
    for words, wording in (
        (["--price", "h100"], "'h100' is no price of a GPU; give such as h100=3.10"),
        (["--price", "h100=-1"], "'h100=-1' is no price of a GPU"),
        (["--price", "a100=1"], "several GPUs are named 'a100': A100 40 GB, A100 80 GB; give the whole name of one"),
        (["--price", "a200=1"], "no GPU of the page is named 'a200'"),
        (["--fit", points], "its format is not 'roam-fit/1'"),
        (["--gpus", "0"], "'0' is not a whole number of at least 1"),
    ):
        assert main(["report", path, "-o", page, "--force", *words]) == 2
        err = capsys.readouterr().err
        assert wording in err
        assert err.count("\n") == 1
    assert Path(page).read_text() == text  # no refusal has touched it


def test_lengths_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text(FACTORY)
    spec, sizes = f"{tmp_path / 'train.py'}:make", str(tmp_path / "s.json")
    assert main(["fit", spec, "--sequence-lengths", "32,64", "--extra-time", "0", "-o", sizes]) == 0
    assert "largest sequence length" in capsys.readouterr().out
    fit = load_fit(sizes)
    assert (fit.axis, fit.fixed, [point.batch for point in fit.points]) == ("sequence length", 4, [32, 64])
    assert main(["fit", spec, "--sequence-lengths", "32", "--memory", "1GiB"]) == 2
    assert "--sequence-lengths varies the length alone" in capsys.readouterr().err


def test_a_frontier_of_another_step_is_refused(
    bench: Workbench, known: dict[str, tuple[Fit, Frontier]], tmp_path: Path
) -> None:
    plan, found = bench.what_if("tokens").plan, known["images"][1]
    with pytest.raises(InputError, match="this frontier is of another step than the plan"):
        write_brief(tmp_path / "r.html", plan, frontier=found)
    assert not (tmp_path / "r.html").exists()
