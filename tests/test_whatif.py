"""`%roam whatif`, `roam whatif`, and which plan export, report and verify take: in a real shell, on one model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from roam_lab.cli import main
from roam_lab.report.hook_code import LOOPS
from tests.notebook_shell import PROFILE, SETUP, cell, open_shell


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    with open_shell() as opened:
        for text in (
            "import torch\ntorch.manual_seed(0)",
            "%precision 3",
            SETUP,
            "noise = torch.randn(3)\nprint(noise)",
        ):
            opened.run_cell(text, store_history=True).raise_error()
        cell(opened, f"p = {PROFILE}")
        yield opened


def bench(shell: Any) -> Any:
    return shell.magics_manager.registry["RoamMagics"].bench


def test_a_grid_captures_anew_and_leaves_the_model_alone(shell: Any) -> None:
    before = [parameter.clone() for parameter in shell.user_ns["model"].parameters()]
    taken = bench(shell).what_if().name
    caught = cell(shell, "rows = %roam whatif --batch 4,8 --dtype float32,bfloat16 --extra-time 0,0.05")
    rows = {row.name: row for row in shell.user_ns["rows"]}
    asked = [tuple(row.asked.get(key) for key in ("batch", "dtype")) for row in rows.values()]
    assert {(8, "float32"), (8, "bfloat16"), (4, "bfloat16")} <= set(asked)
    half, whole = rows["batch 8 bfloat16 auto"], rows["batch 8 float32 auto"]
    assert 2 * half.plan.peak_bytes == whole.plan.peak_bytes
    assert whole.plan.peak_bytes > rows["small"].plan.peak_bytes
    text = caught.outputs[-1].data["text/plain"]
    assert "★ eager PyTorch" in text
    assert "▁" in text
    assert 'src="data:image/svg+xml' in caught.outputs[-1].data["text/html"]
    assert bench(shell).what_if().name == taken  # none of a grid is what actions take
    assert all(map(torch.equal, before, shell.user_ns["model"].parameters()))
    assert {parameter.dtype for parameter in shell.user_ns["model"].parameters()} == {torch.float32}
    message = cell(shell, "%roam run 'batch 8 bfloat16 auto'").stderr
    assert "was captured on fakes; to run it, make model and batch so and profile them" in message


def test_a_point_that_fails_says_why_and_the_others_go_on(shell: Any) -> None:
    caught = cell(shell, "rows = %roam whatif --sequence 9 --optimizer SGD --batch 2")
    (failed,) = (row for row in shell.user_ns["rows"] if row.figures is None)
    assert "a sequence length of 9 cannot be given to this batch" in failed.error
    assert failed.error in caught.outputs[-1].data["text/plain"]
    cell(shell, "rows = %roam whatif --budget 1KiB,1GiB --batch 2")
    errors = [row.error for row in shell.user_ns["rows"] if row.asked.get("budget") == 1024]
    assert ["too few for the whole step" in error for error in errors] == [True]
    assert "there is no dtype 'float99'" in cell(shell, "%roam whatif --dtype float99").stderr
    assert (
        "torch.optim has no optimizer 'AdamX'"
        in cell(shell, "rows = %roam whatif --optimizer AdamX").outputs[-1].data["text/plain"]
    )


def test_export_report_and_verify_take_what_was_chosen_and_say_so(shell: Any, tmp_path: Path) -> None:
    cell(shell, "worse = %roam plan --order captured --name worse")
    said = cell(shell, f"x = %roam report {tmp_path}/a.html").stdout.splitlines()
    assert said[0].startswith(f"wrote {tmp_path}/a.html: worse (small: captured, whole step ")
    assert "a better plan of the same step is at hand: small, arena" in said[1]
    bench(shell).choose("small")  # a click on its row
    said = cell(shell, f"x = %roam export {tmp_path}/a.svg").stdout
    assert said.startswith(f"wrote {tmp_path}/a.svg: small (small: auto")
    assert "better" not in said
    bench(shell).pin("worse")
    message = cell(shell, "v = %roam verify --steps 2").outputs[-1].data["text/plain"]
    assert message.startswith("worse (small: captured")
    assert cell(shell, f"x = %roam export {tmp_path}/b.svg").stdout.splitlines()[0].endswith(", verified)")
    bench(shell).pin("small")


def test_the_parts_of_a_report_are_of_its_plan(shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from roam_lab.app.workbench import report_parts

    held, row = bench(shell), bench(shell).what_if("small")
    cell(shell, "f = %roam fit small --batch-sizes 4 --extra-time 0.1")
    held.verify_named("small", 2)
    parts = report_parts.parts_of(held, row)
    assert parts.given["fit"] is held.fits["small"]
    assert parts.given["verification"] is held.verifications["small"][1]
    assert parts.remarks == ()
    monkeypatch.setattr(report_parts, "planned_bytes", lambda profile, plan: 12345)
    parts = report_parts.parts_of(held, row)
    assert parts.given["fit"] is None
    assert "left out: the fit of small is of plans with order and layout auto" in parts.remarks[0]
    monkeypatch.undo()
    cell(shell, "again = %roam plan small --order list --name small")
    parts = report_parts.parts_of(held, held.what_if("small"))
    assert parts.given["verification"] is None
    assert "was another plan" in parts.remarks[0]
    cell(shell, f"p = {PROFILE}")
    assert "small" not in held.fits  # of a profile that is no more


def test_a_sweep_of_another_machine_opens_beside_the_others(shell: Any, tmp_path: Path) -> None:
    row = {
        "format": "roam-sweep/1", "key": "a", "point": {"factory": "far.py:make", "batch": 64, "extra_time": 0.1},
        "status": "planned", "error": None, "resident_bytes": 5000, "eager_peak_bytes": 900, "captured_peak_bytes": 900,
        "peak_bytes": 800, "arena_bytes": 1000, "step_bytes": 6000, "lower_bound_bytes": 800, "optimal": True,
        "extra_time": 0.08, "seconds": 0.5, "order_strategy": "auto", "layout_strategy": "auto",
    }  # fmt: skip
    lost = {**row, "key": "b", "point": {"factory": "far.py:make", "batch": 99}, "status": "failed", "error": "no room"}
    path = tmp_path / "far.jsonl"
    path.write_text("\n".join(map(json.dumps, (row, lost))) + "\n")
    text = cell(shell, f"rows = %roam whatif small --from {path}").outputs[-1].data["text/plain"]
    (line,) = (line for line in text.splitlines() if "far.jsonl: batch 64" in line)
    assert "+10 % time" in line
    assert "5.9 KiB" in line
    assert "no room" in text
    assert "its plan is not here" not in text
    message = cell(shell, "%roam export x.svg --plan 'far.jsonl: batch 64 auto +10 % time'").stderr
    assert "is not here, only its figures" in message
    path.write_text('{"format": "other"}\n')
    assert "its format is 'other'" in cell(shell, f"%roam whatif --from {path}").stderr


@pytest.mark.parametrize("loop", LOOPS)
def test_code_for_each_loop_comes_as_a_new_cell(
    shell: Any, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells: list[str] = []
    monkeypatch.setattr(shell, "set_next_input", cells.append)
    caught = cell(shell, f"x = %roam export --hook {loop} --plan worse")
    if loop == "trainer":  # has no loss= of one's own
        assert "transformers' Trainer calls model(**batch)" in caught.stderr
        return
    assert "wrote small.roam.json: worse" in caught.stdout
    assert Path("small.roam.json").is_file()
    compile(cells[0], "cell", "exec")
    assert {"plain": "roam.hook(plan, model, optimizer, loss=criterion)", "lightning": "RoamCallback(",
            "accelerate": "accelerator.prepare(model, optimizer)"}[loop] in cells[0]  # fmt: skip


def test_an_exported_script_runs_and_is_bit_identical(
    shell: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "train.py"
    said = cell(shell, f"x = %roam export {path} --hook plain --plan worse").stdout
    assert f"wrote {path} and {tmp_path}/train.roam.json: worse" in said
    text = path.read_text()
    assert "torch.manual_seed(0)" in text
    assert "%" not in text.split("import roam_lab")[0]
    assert "noise" not in text
    eager = text.split("import roam_lab as roam")[0] + (
        "for number in range(4):\n    loss = criterion(model(batch[0]), batch[1])\n    loss.backward()\n"
        "    optimizer.step()\n    optimizer.zero_grad()\n"
    )
    capsys.readouterr()
    ends = []
    for code in (eager, text):
        space: dict[str, Any] = {"__name__": "__main__", "__file__": str(path)}
        exec(compile(code, str(path), "exec"), space)
        ends.append(list(space["model"].parameters()))
    assert all(map(torch.equal, *ends))
    assert "4 planned, 0 eager" in capsys.readouterr().out


def test_the_command_prints_a_table_of_a_factory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.py"
    path.write_text(
        "import torch\n\n\ndef make():\n    model = torch.nn.Linear(8, 4)\n"
        "    batch = (torch.randn(4, 8), torch.randn(4, 4))\n"
        "    optimizer = torch.optim.SGD(model.parameters())\n"
        '    return {"model": model, "optimizer": optimizer, "batch": batch, "loss": torch.nn.MSELoss()}\n'
    )
    assert main(["whatif", f"{path}:make", "--batch", "8", "--dtype", "bfloat16", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["name"], row["model"]) for row in rows] == [("make", "make"), ("batch 8 bfloat16 auto", "make")]
    assert rows[0]["step_bytes"] > 0
    graph, plan, script = (str(tmp_path / name) for name in ("g.json", "p.roam.json", "run.py"))
    assert main(["profile", f"{path}:make", "-o", graph]) == main(["plan", graph, "-o", plan]) == 0
    assert main(["export", plan, "-o", script, "--hook", "plain"]) == 2
    assert "name it with --factory" in capsys.readouterr().err
    assert main(["export", plan, "-o", script, "--hook", "plain", "--factory", f"{path}:make"]) == 0
    capsys.readouterr()
    exec(compile(Path(script).read_text(), script, "exec"), {"__name__": "__main__"})
    assert "4 planned, 0 eager" in capsys.readouterr().out
    assert main(["whatif"]) == 2
    assert "there is nothing to compare" in capsys.readouterr().err
    assert main(["whatif", "--from", f"{tmp_path}/none.jsonl"]) == 2
    assert "there is no such file" in capsys.readouterr().err
