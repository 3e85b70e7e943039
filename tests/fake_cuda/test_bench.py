"""The CUDA benchmark's processes on the fake device: every line says whose figures these are."""

from benchmarks.cuda import __main__ as driver
from benchmarks.cuda import results
from benchmarks.cuda.device import FAKE


def test_stages_in_processes_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "ROOT", tmp_path)
    output = tmp_path / "r.jsonl"
    stages = "machine,bits,mempool,memcheck,times"
    assert driver.main(["--rehearse", "--stages", stages, "-o", str(output)]) == 0
    lines = results.read(output)
    assert {line["device"] for line in lines} == {FAKE}
    last = {key: line for key, line in results.latest(lines).items() if key[2] is None}
    assert {stage for stage, _, _ in last} == set(stages.split(","))
    assert {line["status"] for line in last.values()} <= {"done", "not possible"}
    parts = results.latest(lines)
    assert "kernels" in parts["memcheck", "gpt2_tiny", "memcheck"]["reason"]
    assert parts["bits", "single ops", "mm"]["identical"] is None
    assert parts["mempool", "results at planned addresses", "callback"]["at_planned_address"] == [True] * 3
    eager, planned = (parts["times", f"gpt2_tiny_b2_default_fp32 {run}", "launches"] for run in ("eager", "planned"))
    assert min(eager["launches"], planned["launches"]) > 100
