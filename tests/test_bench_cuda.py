"""The driver of the CUDA benchmark, without a device: lines, processes, limits, what is run again."""

import importlib.util
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.cuda import __main__ as driver
from benchmarks.cuda import child, first_difference, jobs, results, single_ops
from benchmarks.cuda.device import FAKE, NotPossible
from benchmarks.cuda.jobs import Job
from benchmarks.cuda.processes import Place, run_job
from benchmarks.cuda.stages import largest
from roam_lab.capture import as_step


def job_of(path):
    return json.loads(Path(path).read_text())


def one_part(path):
    """A cell that runs: a part of its own name."""
    with child.Cell(job_of(path)).part("only") as line:
        line["bytes"] = 7
    return 0


def dies_in_the_second(path):
    """Three parts, each left out where an earlier process has its line; the second ends the process."""
    cell = child.Cell(job_of(path))
    for name in ("one", "two", "three"):
        if cell.wanted(name):
            with cell.part(name):
                if name == "two":
                    os.write(1, b"the last words\n")
                    os.kill(os.getpid(), signal.SIGTERM)
    return 0


def dies_at_once(path):
    os.kill(os.getpid(), signal.SIGKILL)


def does_not_end(path):
    cell = child.Cell(job_of(path))
    with cell.part("long"):
        if os.fork() == 0:  # something that the cell has started
            (cell.work / "child").write_text(str(os.getpid()))
        time.sleep(60)
    return 0


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "r.jsonl", tmp_path, tmp_path, FAKE, multiprocessing.get_context("fork"), "abc", one_part)


def statuses(place, stage, cell):
    return {part: line["status"] for part, line in results.parts_of(results.read(place.results), stage, cell).items()}


def test_a_torn_line_is_passed_over_and_the_next_is_whole(tmp_path):
    path = tmp_path / "r.jsonl"
    results.append(path, {"stage": "a", "cell": "b", "status": "done"})
    with path.open("a") as file:
        file.write('{"stage": "a", "ce')
    results.append(path, {"stage": "a", "cell": "c", "status": "failed"})
    lines = results.read(path)
    assert [line["cell"] for line in lines] == ["b", "c"]
    assert results.finished(lines, "a", "b")
    assert not results.finished(lines, "a", "c")
    assert not results.finished(lines, "a", "d")


def test_a_cell_has_a_line_a_part_and_one_at_its_end(place):
    line = run_job(Job("s", "cell"), place, 30)
    assert (line["status"], line["device"], line["commit"]) == ("done", FAKE, "abc")
    lines = results.read(place.results)
    assert [(one.get("part"), one["status"]) for one in lines] == [
        ("only", "running"),
        ("only", "done"),
        (None, "done"),
    ]
    assert lines[1]["bytes"] == 7
    assert all(one["device"] == FAKE for one in lines)


def test_a_crash_is_a_line_and_the_parts_after_it_run(place):
    line = run_job(Job("s", "cell"), replace(place, main=dies_in_the_second), 30)
    assert statuses(place, "s", "cell") == {"one": "done", "two": "crashed", "three": "done"}
    crashed = results.parts_of(results.read(place.results), "s", "cell")["two"]
    assert crashed["reason"] == f"signal {signal.SIGTERM.value}: the last words"
    assert line["status"] == "crashed"
    line = run_job(Job("s", "other"), replace(place, main=dies_at_once), 30)
    assert (line["status"], line["reason"]) == ("crashed", f"signal {signal.SIGKILL.value}")
    assert run_job(Job("s", "after"), place, 30)["status"] == "done"


def test_a_cell_that_does_not_end_is_ended_with_what_it_has_started(place):
    line = run_job(Job("s", "cell", limit_seconds=0.7), replace(place, main=does_not_end), 30)
    assert (line["status"], line["reason"]) == ("timeout", "ended after 1 s")
    assert statuses(place, "s", "cell") == {"long": "timeout"}
    process = int((place.work / "child").read_text())
    for _ in range(50):  # what is killed is still to be reaped by init
        if not Path(f"/proc/{process}").exists() or "State:\tZ" in Path(f"/proc/{process}/status").read_text():
            break
        time.sleep(0.1)
    else:
        pytest.fail("what the cell has started still runs")


def test_what_is_done_is_not_run_again_unless_asked(place):
    cells = [Job("s", "one"), Job("t", "two")]
    ran = lambda: [line["cell"] for line in results.read(place.results) if "part" not in line]  # noqa: E731
    assert driver.drive(cells, place, 30) == 0
    driver.drive(cells, place, 30)
    assert ran() == ["one", "two"]
    driver.drive(cells, place, 30, again=("t",))
    assert ran() == ["one", "two", "two"]
    driver.drive([Job("s", "bad")], replace(place, main=dies_at_once), 30)
    driver.drive([*cells, Job("s", "bad")], place, 30)
    assert ran() == ["one", "two", "two", "bad", "bad"]
    assert results.finished(results.read(place.results), "s", "bad")


def test_without_time_nothing_begins(place):
    assert driver.drive([Job("s", "one"), Job("s", "two")], place, 0) == 2
    assert results.read(place.results) == []


def differs(path):
    cell = child.Cell(job_of(path))
    with cell.part("mm" if cell.stage == "bits" else "gpt2") as line:
        line["status"] = "differs" if cell.stage in ("bits", "identity") else "done"
    return 0


@pytest.mark.parametrize("go_on", [False, True])
def test_where_bits_differ_the_rest_of_the_time_goes_there(place, go_on):
    cells = [Job("bits", "single ops"), Job("identity", "models"), Job("compare", "much")]
    driver.drive(cells, replace(place, main=differs), 60, go_on=go_on)
    ran = [(line["stage"], line["cell"]) for line in results.read(place.results) if "part" not in line]
    rest = [("compare", "much")] if go_on else [("differing", "op mm"), ("differing", "model gpt2")]
    assert ran == [("bits", "single ops"), ("identity", "models"), *rest]


def test_eager_runs_that_differ_are_run_deterministically():
    settings = jobs.of_model("gpt2", 1, run="planned")
    planned = Job("step", "gpt2_b1_default_fp32 planned", settings=settings)
    line = {"stage": "step", "cell": planned.cell, "part": "planned", "status": "done", "repeatable": True}
    assert jobs.following(planned, [line]) == []
    more = jobs.following(planned, [{**line, "repeatable": False}])
    assert [(job.settings["run"], job.settings["deterministic"]) for job in more] == [
        ("eager", True),
        ("planned", True),
    ]
    assert jobs.following(more[1], [{**line, "cell": more[1].cell, "repeatable": False}]) == []


@pytest.mark.parametrize("rehearse", [False, True])
def test_every_job_can_be_run(rehearse):
    from benchmarks.cuda.models import MODELS, OPTIMIZERS

    made = jobs.all_jobs(rehearse)
    assert len({(job.stage, job.cell) for job in made}) == len(made)
    for job in made:
        assert importlib.util.find_spec(f"benchmarks.cuda.stages.{job.stage}") is not None
        if "model" in job.settings:
            assert job.settings["model"] in MODELS
            assert job.settings["optimizer"] in OPTIMIZERS
            assert job.settings["dtype"] in ("fp32", "bf16")
        if job.stage == "bits":
            assert set(job.settings["ops"]) >= set(single_ops.PAIRS)
    planned = {job.cell for job in made if job.stage == "plan"}
    for job in made:
        if job.settings.get("run") == "planned" or str(job.settings.get("method")).startswith("planned"):
            assert job.stage == "largest" or jobs.name_of(job.settings) in planned
    stages = {job.stage for job in made}
    assert stages >= {"machine", "bits", "identity", "step", "times", "cuda_graph", "mempool", "largest", "memcheck",
                      "budget", "integration"}  # fmt: skip


def test_results_of_another_device_are_not_added_to(tmp_path, monkeypatch, capsys):
    output = tmp_path / "r.jsonl"
    results.append(output, {"stage": "s", "cell": "c", "status": "done", "device": FAKE})
    monkeypatch.setattr(driver, "device_here", lambda _: "NVIDIA H100")
    assert driver.main(["-o", str(output)]) == 2
    assert f"holds lines of {FAKE}, and this is NVIDIA H100" in capsys.readouterr().err
    assert len(results.read(output)) == 1


def test_without_a_device_one_sentence_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(driver, "device_here", lambda _: None)
    assert driver.main([]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "make rehearse-cuda" in message
    with pytest.raises(SystemExit):
        driver.main(["--stages", "bit"])
    assert "there is no stage bit" in capsys.readouterr().err


def test_parts_tell_what_is_not_possible_what_failed_and_what_is_lost(tmp_path):
    cell = child.Cell({"stage": "s", "cell": "c", "settings": {}, "work": tmp_path, "results": tmp_path / "r.jsonl",
                       "plans": tmp_path, "device": "GPU", "skip": ["old"]})  # fmt: skip
    assert (cell.fake, cell.wanted("old"), cell.wanted("new")) == (False, False, True)
    with cell.part("no"):
        raise NotPossible("no Triton")
    with cell.part("bad"):
        raise ValueError("first\nsecond")
    with pytest.raises(child.DeviceLostError), cell.part("lost"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    found = results.parts_of(results.read(tmp_path / "r.jsonl"), "s", "c")
    assert (found["no"]["status"], found["no"]["reason"]) == ("not possible", "no Triton")
    assert (found["bad"]["status"], found["bad"]["reason"]) == ("failed", "ValueError: first")
    assert found["lost"]["status"] == "failed"


@pytest.mark.parametrize("alignment", [64, 512, 4096])
def test_tensors_are_placed_at_just_this_alignment(alignment):
    tensor = torch.arange(60.0).reshape(3, 20)
    for one in (tensor, tensor.t(), tensor[:, 3:9], tensor[0].expand(4, 20), tensor.half()):
        (found,) = single_ops.placed([one], alignment)
        assert found.data_ptr() % (2 * alignment) == alignment
        assert found.stride() == one.stride()
        assert torch.equal(found, one)


def test_the_first_operator_that_differs_is_found_in_any_order():
    def eager():
        return lambda: (torch.ones(3) + 1).exp() * torch.zeros(3).cos()

    def other():
        return lambda: torch.zeros(3).cos() * torch.exp2(torch.ones(3) + 1)

    def reordered():
        return lambda: torch.zeros(3).cos() * torch.exp((torch.ones(3) + 1), out=torch.empty(3))

    assert first_difference.first_difference(eager, reordered, fake=False)["operator"] is None
    found = first_difference.first_difference(eager, other, fake=False)
    assert (found["operator"], found["first_without_counterpart"]) == (None, "aten::exp2")
    wrong = first_difference.compare([(("aten::mm", "a"), ("x",))], [(("aten::mm", "a"), ("y",))])
    assert wrong["operator"] == "aten::mm"
    assert first_difference.first_difference(eager, other, fake=True)["operator"] is None


def test_a_planned_step_that_agrees_has_no_operator_that_differs():
    import roam_lab as roam

    def made():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Dropout(), torch.nn.Linear(16, 2))
        optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
        return model, optimizer, as_step(lambda model, batch: model(batch).pow(2).mean())

    batch = torch.randn(4, 6)
    model, optimizer, step = made()
    plan = roam.profile(model, batch, optimizer, step=step, fake=True).plan()

    def eager():
        model, optimizer, step = made()
        return lambda: step(model, optimizer, batch)

    def planned():
        model, optimizer, step = made()
        hooked = roam.hook(plan, model, optimizer, step=step, check="never", on_mismatch="error")
        hooked.prepare(batch)
        return lambda: hooked(batch)

    found = first_difference.first_difference(eager, planned, fake=False)
    assert found["operator"] is None
    assert found["first_without_counterpart"] == "aten::fill"  # eager calls it ones_like
    assert found["with_counterpart"] == found["ran"] - 1 > 50


@pytest.mark.parametrize("limit", [0, 1, 5, 8, 37, 5000])
def test_the_largest_batch_is_found_by_bisection(limit):
    found, whole = largest.bisected(lambda batch: batch <= limit, 4, lambda: False)
    assert (found, whole) == (min(limit, largest.MOST), True)
    assert largest.bisected(lambda batch: batch <= limit, 4, lambda: True)[1] is False
