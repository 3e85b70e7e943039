"""Each action of `%roam` once, in a real IPython shell, on one model; names, the cell form, interrupts, other hosts."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from IPython.core.completer import CompletionContext

from roam_lab.app import host as host_module
from roam_lab.lab.completion import candidates
from roam_lab.lab.shown import WRAP
from roam_lab.plan import Plan, Profile, load_plan
from roam_lab.plan.devices import GIB, Device
from roam_lab.plan.largest import Largest, LargestSizes, Within
from tests.notebook_shell import PROFILE, SETUP, cell, open_shell


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    """A shell with a profile and default plan "small", and the plan "fine"; also in variables p and q."""
    with open_shell() as opened:
        cell(opened, f"p = {PROFILE} --step train_step".replace("--loss criterion ", ""))
        cell(opened, "q = %roam plan --order roam --node-limit 64 --name fine")
        yield opened


def bench(shell: Any) -> Any:
    return shell.magics_manager.registry["RoamMagics"].bench


def state(shell: Any) -> list[torch.Tensor]:
    """Copies of all that a step could change: weights, gradients, optimizer state, batch, random state."""
    held = shell.user_ns
    tensors = [*held["model"].parameters(), *held["batch"]]
    tensors += [parameter.grad for parameter in held["model"].parameters() if parameter.grad is not None]
    for one in held["optimizer"].state.values():
        tensors += [value for value in one.values() if isinstance(value, torch.Tensor)]
    return [copy.deepcopy(tensor.detach()) for tensor in tensors] + [torch.get_rng_state()]


def same(before: list[torch.Tensor], after: list[torch.Tensor]) -> bool:
    return len(before) == len(after) and all(map(torch.equal, before, after))


def test_names_and_compare(shell: Any) -> None:
    assert isinstance(shell.user_ns["p"], Profile)
    caught = cell(shell, "rows = %roam compare small fine")
    assert [row.name for row in shell.user_ns["rows"]] == ["small", "fine"]
    text = caught.outputs[0].data["text/plain"]
    assert "★ small" in text
    (fine,) = (line for line in text.splitlines() if "fine" in line)
    assert " 64 " in fine
    assert "<table" in caught.outputs[0].data["text/html"]


def test_run_works_on_copies(shell: Any) -> None:
    before = state(shell)
    caught = cell(shell, "r = %roam run small --steps 2")
    assert "small: 2 planned steps on copies of model and optimizer" in caught.outputs[-1].data["text/plain"]
    assert len(shell.user_ns["r"].losses) == 2
    assert same(before, state(shell))
    assert bench(shell).what_ifs["small"].measured_peak_bytes == shell.user_ns["r"].peak_above_base_bytes


def test_verify_works_on_copies(shell: Any) -> None:
    before = state(shell)
    caught = cell(shell, "v = %roam verify fine --steps 2")
    assert shell.user_ns["v"].identical
    assert "identical" in caught.outputs[-1].data["text/plain"]
    assert same(before, state(shell))
    assert bench(shell).what_ifs["fine"].identical


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
def test_a_step_on_cuda_where_there_is_none(shell: Any) -> None:
    for more in ("", "--fake"):
        caught = cell(shell, f"x = %roam profile model batch --device cuda {more}")
        assert "torch finds no CUDA device on this machine" in caught.stderr
        assert "capture on the CPU" in caught.stderr
        assert "Traceback" not in caught.stderr


def test_export_asks_before_it_writes_over_a_file(shell: Any, tmp_path: Path) -> None:
    path = tmp_path / "fine.roam.json"
    assert f"wrote {path}" in cell(shell, f"x = %roam export {path} --plan fine").stdout
    assert load_plan(path) == shell.user_ns["q"]
    path.write_text("mine")
    caught = cell(shell, f"x = %roam export {path} --plan fine")
    assert "is there already; add --force to write over it" in caught.stderr
    assert path.read_text() == "mine"
    cell(shell, f"x = %roam export {path} --plan fine --force")
    assert load_plan(path) == shell.user_ns["q"]


def test_view_takes_a_plan_or_its_file(shell: Any, tmp_path: Path) -> None:
    cell(shell, f"%roam export {tmp_path}/a.roam.json")
    for named in ("fine", f"{tmp_path}/a.roam.json"):
        (output,) = cell(shell, f"x = %roam view {named}").outputs
        assert {"application/vnd.roam.plan+json", "text/html", "text/plain"} <= set(output.data)
    bench(shell).what_ifs.remove(f"{tmp_path}/a.roam.json")


def test_a_frontier_is_shown_returned_and_in_the_report(shell: Any, tmp_path: Path) -> None:
    out = cell(shell, "f = %roam frontier --points 3 --rewrite free")
    assert "of eager" in out.outputs[-1].data["text/plain"]
    assert "Memory against extra time" in out.outputs[-1].data["text/html"]
    assert shell.user_ns["f"].strategy == "free"
    cell(shell, "r = %roam plan --extra-time 0.2 --rewrites in_place,fuse --rewrite free --name rewritten")
    assert shell.user_ns["r"].rewrite_strategy == "free"
    path = tmp_path / "with.html"
    cell(shell, f"%roam report {path} --plan rewritten")
    assert "Memory against extra time" in path.read_text()
    bench(shell).what_ifs.remove("rewritten")


def test_report_is_one_page(shell: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert f"wrote {path}" in cell(shell, f"x = %roam report {path} --plan small").stdout
    text = path.read_text("utf-8")
    assert text.lower().startswith("<!doctype html>")
    assert "is there already; add --force" in cell(shell, f"x = %roam report {path}").stderr


def test_fit_plans_at_several_sizes_and_leaves_the_model_alone(shell: Any) -> None:
    before = state(shell)
    caught = cell(shell, "f = %roam fit small --batch-sizes 2,4,8 --extra-time 0.1")
    assert [point.batch for point in shell.user_ns["f"].points] == [2, 4, 8]
    assert "largest batch" in caught.outputs[-1].data["text/plain"]
    html = caught.outputs[-1].data["text/html"]
    assert f'<span style="{WRAP}">eager: what' in html  # no word is cut
    assert "pre-wrap" in WRAP
    assert same(before, state(shell))


def test_fit_within_a_memory(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it finds is tested without a shell."""
    asked: list[Any] = []
    along = LargestSizes("batch size", None, (Largest("eager", 8, GIB, 2 * GIB, 0.0),), (8, 9))

    def within(*given: Any) -> Within:
        asked.append(given)
        return Within("small", Device("own", given[0]), (along,))

    monkeypatch.setattr(bench(shell), "within", within)
    caught = cell(shell, "w = %roam fit small --memory 24GiB --extra-time 0.1")
    assert asked == [(24 * GIB, "small", (0.1,))]
    assert "small: what fits into 24.00 GiB" in caught.outputs[-1].data["text/plain"]
    assert isinstance(shell.user_ns["w"], Within)
    assert "is no memory" in cell(shell, "%roam fit small --memory 0").stderr


def test_doctor(shell: Any) -> None:
    assert "torch" in cell(shell, "%roam doctor").stdout


def test_the_cell_form_profiles_the_step_that_it_defines(shell: Any) -> None:
    step = "def mine(model, optimizer, batch):\n    return train_step(model, optimizer, batch)"
    cell(shell, f"%%roam model batch --optimizer optimizer --name celled --fake\n{step}")
    assert bench(shell).made["celled"].step is shell.user_ns["mine"]
    assert bench(shell).what_ifs["celled"].plan.graph.name == "celled"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x = 1", "the cell defines no function; write def train_step(model, optimizer, batch): ..."),
        ("def train(:\n    pass", "line 1 of the cell is no Python"),
    ],
)
def test_a_cell_that_is_no_step(shell: Any, body: str, message: str) -> None:
    caught = cell(shell, f"%%roam profile model batch\n{body}")
    assert message in caught.stderr
    assert caught.stderr.count("\n") == 1


def test_a_batch_that_does_not_fit_names_the_line_of_the_user(shell: Any) -> None:
    caught = cell(shell, "x = %roam profile model '(torch.randn(4, 9), batch[1])' --step train_step --fake")
    (line,) = (at for at, text in enumerate(SETUP.strip().splitlines(), 1) if "loss = criterion" in text)
    assert f"]:{line}: the model does not accept this batch" in caught.stderr
    assert "roam: In[" in caught.stderr
    assert caught.stderr.count("\n") == 1


@pytest.mark.parametrize("line", [PROFILE.replace("small", "late"), "%roam plan --name late"])
def test_an_interrupt_leaves_everything_as_it_was(shell: Any, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from roam_lab.app.workbench import bench as workbench

    before, names = state(shell), [row.name for row in bench(shell).what_ifs]
    profiles = list(bench(shell).profiles)

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(workbench, "make_plan" if "plan" in line.split()[1] else "profile", interrupted)
    caught = cell(shell, f"x = {line}")
    assert caught.stderr.count("\n") == 1
    assert "interrupted; model, optimizer and batch are as they were" in caught.stderr
    assert shell.user_ns["x"] is None
    assert same(before, state(shell))
    assert (names, profiles) == ([row.name for row in bench(shell).what_ifs], list(bench(shell).profiles))


@pytest.mark.parametrize("missing", ["bokeh", "jupyter_bokeh", "ipywidgets"])
def test_a_missing_package_leaves_still_pictures(shell: Any, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_name", lambda: "jupyter")
    monkeypatch.setattr(host_module, "installed", lambda package: package != missing)
    found = host_module.host()
    assert not found.bokeh
    assert missing in found.why
    caught = cell(shell, "x = %roam lab small")
    assert caught.stderr == ""
    shown = shell.user_ns["x"]
    if missing == "ipywidgets":
        assert isinstance(shown, Plan)
        assert "ipywidgets is missing: pip install" in caught.outputs[-1].data["text/plain"]
        assert "<img" in caught.outputs[-1].data["text/html"]
    else:
        assert "<svg" in shown.figures._still.value
        assert f"{missing} missing" in shown.figures._why.value
        shown.close()


@pytest.mark.parametrize("name", ["vscode", "colab"])
def test_hosts_that_load_widgets_from_a_network_get_pictures(
    shell: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_module, "_name", lambda: name)
    cell(shell, "x = %roam lab small")
    panel = shell.user_ns["x"]
    assert "<svg" in panel.figures._still.value
    assert name in panel.figures._why.value
    panel.close()


def test_plain_ipython_gets_text_and_a_picture(shell: Any) -> None:
    caught = cell(shell, "x = %roam lab small")
    assert "whole step" in caught.outputs[-1].data["text/plain"]
    assert "<img" in caught.outputs[-1].data["text/html"]


def test_completion(shell: Any) -> None:
    def of(rest: str) -> list[str]:
        return candidates(rest, bench(shell), {"model": 1, "_hidden": 2})

    assert {"profile", "lab", "doctor"} <= set(of(" "))
    assert {"--optimizer", "model"} <= set(of(" profile "))
    assert "_hidden" not in of(" profile ")
    assert "lescea" in of(" plan --order ")
    assert "best_fit" in of(" plan --layout ")
    assert {"small", "fine"} <= set(of(" compare "))
    assert "fine" in of(" export x --plan ")
    line = "p = %roam plan --order lesc"
    context = CompletionContext(
        token="lesc", full_text=line, cursor_position=len(line), cursor_line=0, limit=None
    )  # fmt: skip
    (matcher,) = [one for one in shell.Completer.custom_matchers if one.__name__ == "roam_matcher"]
    assert [one.text for one in matcher(context)["completions"]] == ["lescea"]


def test_a_step_of_several_optimizers_is_profiled_by_their_names() -> None:
    step = "first, second = (torch.optim.SGD(model[at].parameters(), lr=0.1) for at in (0, -1))"
    with open_shell() as opened:
        cell(opened, step)
        found = cell(opened, "p = " + PROFILE.replace("--optimizer optimizer", "--optimizer first,second"))
        assert isinstance(opened.user_ns.get("p"), Profile), found
        refused = cell(opened, PROFILE.replace("--optimizer optimizer", "--optimizer first,3"))
        assert "first,3 holds an int, not a torch Optimizer; see %roam help profile" in refused.stderr
