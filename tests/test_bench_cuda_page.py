"""The page of the CUDA benchmark, made from result lines."""

from benchmarks.cuda import page, results
from benchmarks.cuda.device import FAKE


def line_of(stage, cell, part=None, device=FAKE, **figures):
    more = {} if part is None else {"part": part}
    return {"stage": stage, "cell": cell, "device": device, "status": "done", "seconds": 2.0, **more, **figures}


FIGURES = {
    "requested_bytes": 2**20,
    "allocated_bytes": 2**21,
    "reserved_bytes": 2**22,
    "driver_bytes": 2**23,
    "workspaces_bytes": 0,
}


def test_the_page_says_that_no_cuda_figure_exists():
    lines = [
        line_of("step", "gpt2 planned", "planned", identical=None, **FIGURES),
        line_of("step", "gpt2 planned", date="2026-11-27T", commit="abc"),
        line_of("cuda_graph", "gpt2", status="not possible", reason="not <built>"),
    ]
    text = page.page(lines)
    assert "**No CUDA figure exists yet" in text
    assert "| gpt2 planned | not compared | 1.0 | 2.0 | 4.0 | 8.0 |" in text
    assert r"cuda\_graph gpt2" in text.replace("cuda_graph", r"cuda\_graph")
    assert r"not \<built\>" in text
    real = page.page([*lines, line_of("bits", "ops", "mm", "NVIDIA H100", identical_at={"64": False, "512": True},
                                      repeatable=True), line_of("bits", "ops", device="NVIDIA H100")])  # fmt: skip
    assert "No CUDA figure" not in real
    assert "| bits, mm | yes | 64: NO, 512: yes |" in real
    assert real.index("NVIDIA H100") < real.index("## Fake device")
    assert "nothing was run" in page.page([])


def test_the_page_is_that_of_the_results():
    assert (
        page.PAGE.read_text().strip()
        == page.page(line for file in sorted(page.RESULTS.glob("cuda*.jsonl")) for line in results.read(file)).strip()
    )
    assert {line["device"] for line in results.read(page.RESULTS / "cuda_fake.jsonl")} == {FAKE}
