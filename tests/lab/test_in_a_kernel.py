"""Actions of `%roam` in a real kernel: two models apart, several optimizers, and what cannot be done in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import Kernel, open_kernel
from tests.notebook_shell import PROFILE, SETUP

GAN = """
gan = torch.nn.ModuleDict({"G": torch.nn.Linear(4, 8), "D": torch.nn.Linear(8, 1)})
painter, critic = (torch.optim.Adam(gan[name].parameters(), 1e-3) for name in "GD")
noise, real = torch.randn(4, 4), torch.randn(4, 8)
def gan_step(model, optimizer, batch):
    painter, critic = optimizer
    fake = model["G"](noise)
    loss = model["D"](fake.detach()).mean() - model["D"](batch).mean()
    critic.zero_grad()
    loss.backward()
    critic.step()
    painter.zero_grad()
    (-model["D"](fake).mean()).backward()
    painter.step()
    return loss
"""
EVAL = "model.eval()\n" + PROFILE.replace("small", "still") + "\n"
META = "away = tuple(one.to('meta') for one in batch)\n%roam profile model away --step train_step --name nowhere"
HEADLINE = re.compile(r"[\d.]+ -> [\d.]+ [KM]iB, -[\d.]+ %")
"""Eager's whole step, the planned one's, and the difference."""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with open_kernel() as opened:
        for code in ("%load_ext roam_lab", SETUP, PROFILE, GAN):
            assert opened.run(code).errors == []
        yield opened


@pytest.mark.slow
def test_a_step_of_two_optimizers_is_planned_and_its_bits_are_eagers(kernel: Kernel) -> None:
    made = kernel.run("%roam profile gan real --optimizer painter,critic --step gan_step --name gan")
    assert any("gan: " in text and "whole step" in text for text in made.shown), made.everything()
    assert "bit-identical: yes" in kernel.run("%roam verify gan").everything()


def test_what_ifs_of_two_models_are_two_tables_each_with_its_baseline(kernel: Kernel) -> None:
    kernel.run("%roam profile gan real --optimizer painter,critic --step gan_step --name gan")
    told = kernel.run("rows = %roam compare").shown[-1]
    assert told.count("eager PyTorch") == 2
    first, second = (told.index(f"{name}\n") for name in ("small", "gan"))
    assert first < told.index("eager PyTorch") < second < told.rindex("eager PyTorch")


def test_actions_take_the_shown_plan_say_so_and_name_a_better_one(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("plan = %roam plan small --name good")
    kernel.run("worse = %roam plan small --order captured --rewrites none --name worse")
    for action, file in (("report", "page.html"), ("export", "plan.svg")):
        said = kernel.run(f"x = %roam {action} {tmp_path}/{file}").stdout.splitlines()
        assert said[0].startswith(f"wrote {tmp_path}/{file}: worse (small: captured, whole step ")
        assert "a better plan of the same step is at hand: " in said[1]
    verified = kernel.run("v = %roam verify --steps 2").everything()
    assert "worse (small: captured" in verified
    said = kernel.run(f"x = %roam report good {tmp_path}/named.html").stdout
    assert said.startswith(f"wrote {tmp_path}/named.html: good (small: auto")
    assert "better" not in said


def test_one_headline_everywhere(kernel: Kernel, tmp_path: Path) -> None:
    shown = kernel.run("plan = %roam plan small --name good").shown[-1]
    (headline,) = set(HEADLINE.findall(shown))
    assert kernel.value("plan.headline") == headline
    eager, planned = headline.split(",")[0].split(" -> ")  # "264.0", "115.0 KiB"
    kernel.run(f"x = %roam report good {tmp_path}/page.html --force")
    page = (tmp_path / "page.html").read_text()
    assert set(HEADLINE.findall(page.replace("&gt;", ">"))) <= {headline}
    for face in (page, kernel.run("%roam compare").shown[-1]):
        assert eager in face
        assert planned in face
    for action in ("%roam fit small --batch-sizes 4 --extra-time 0", "%roam frontier small --points 3"):
        face = kernel.run(f"found = {action}").everything()
        assert planned in face
        assert eager in face or "reserve" in face  # what an allocator takes for eager, called so


def test_eval_mode_is_named(kernel: Kernel) -> None:
    told = kernel.run(EVAL).everything()
    kernel.run("model.train()")
    assert "The model is in eval mode (no dropout, fixed batch norm)" in told


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("%roam profile model batch", "and no loss is given; give loss= (--loss NAME in %roam)"),
        (META, "is on the meta device"),
        (
            "%roam profile gan real --optimizer painter,3 --step gan_step",
            "painter,3 holds an int, not a torch",
        ),
        ("%roam plan --budget -1GiB", "argument --budget: '-1GiB' is not a size"),
        ("%roam plan --alignment 3", "argument --alignment: '3' is not a power of two"),
    ],
)
def test_what_cannot_be_done_is_one_line(kernel: Kernel, code: str, words: str) -> None:
    cell = kernel.run(code)
    lines = [line for line in cell.stderr.splitlines() if line.strip()]
    assert words in cell.stderr
    assert len(lines) == 1, lines
    assert cell.errors == []
