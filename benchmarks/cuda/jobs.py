"""What is run, in which order: the most telling first, as time with a GPU is short. Pure data, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cuda.results import Line, latest

OPS = (
    "mm", "addmm", "sdpa", "sdpa_bf16", "sdpa_dropout", "dropout", "layer_norm", "embedding_backward", "convolution",
    "adamw_foreach", "adamw_fused", "foreach_of_one",
)  # fmt: skip
"""What stage `bits` looks at, each a part."""
ZOO = ("models", "optimizers", "steps")
"""The three tables of tests/zoo.py."""
DETERMINISTIC = "deterministic"
BUDGETS = ("free", "+5 %", "+25 %", "offload")
"""What stage `budget` plans for."""
LIBRARIES = ("plain", "accelerate", "trainer", "lightning")
"""Of the scripts of benchmarks/integrations."""


@dataclass(frozen=True)
class Job:
    """One cell: `stage` is the module of `stages/`, `cell` its name in tables, `settings` what the stage is given."""

    stage: str
    cell: str
    limit_seconds: float = 90.0
    settings: dict[str, Any] = field(default_factory=dict)


def of_model(model: str, batch: int, optimizer: str = "default", dtype: str = "fp32", **more: Any) -> dict[str, Any]:
    """Settings of a cell that trains."""
    return {"model": model, "batch": batch, "optimizer": optimizer, "dtype": dtype, **more}


def name_of(settings: dict[str, Any]) -> str:
    """What a model's cell is called; plans in a folder have this name, too."""
    return "{model}_b{batch}_{optimizer}_{dtype}".format(**settings)


def _step_cells(models: Iterable[tuple[str, int]], optimizers: Iterable[str], dtypes: Iterable[str]) -> list[Job]:
    """Plan, eager twice, planned: a process each."""
    jobs = []
    for model, batch in models:
        for optimizer in optimizers:
            for dtype in dtypes:
                settings = of_model(model, batch, optimizer, dtype)
                name = name_of(settings)
                jobs.append(Job("plan", name, 180.0, settings))
                jobs += [
                    Job("step", f"{name} {run}", 240.0 if run == "planned" else 90.0, {**settings, "run": run})
                    for run in ("eager", "eager again", "planned")
                ]
    return jobs


def _by_method(stage: str, method: str, settings: dict[str, Any], limit: float = 180.0) -> Job:
    return Job(stage, f"{name_of(settings)} {method}", limit, {**settings, "method": method})


METHODS = {
    "eager": {},
    "planned": {},
    "fused": {"optimizer": "fused"},
    "planned, fused": {"optimizer": "fused"},
    "in backward": {"optimizer": "in_backward"},
    "checkpointing": {"checkpointing": True},
    "compiled": {},
    "compiled, reduce-overhead": {},
    "compiled, memory budget": {},
}  # fmt: skip
"""Method of `compare` -> what it sets otherwise."""


def _budgets(model: str, batch: int) -> list[Job]:
    settings = of_model(model, batch)
    return [Job("budget", f"{name_of(settings)} {one}", 300.0, {**settings, "budget": one}) for one in BUDGETS]


def _integrations(size: str, steps: int) -> list[Job]:
    return [
        Job("integration", f"{one} {size}", 240.0, {"library": one, "size": size, "steps": steps}) for one in LIBRARIES
    ]


def _compared(model: str, batch: int, dtype: str, methods: Iterable[str] = tuple(METHODS)) -> list[Job]:
    jobs = []
    for method in methods:
        settings = of_model(model, batch, **{"dtype": dtype, **METHODS[method]})
        if method.startswith("planned"):
            jobs.append(Job("plan", name_of(settings), 180.0, settings))
        limit = 240.0 if method.startswith("compiled") else 180.0
        jobs.append(Job("compare", f"{name_of(of_model(model, batch, dtype=dtype))} {method}", limit,
                        {**settings, "method": method}))  # fmt: skip
    return jobs


def all_jobs(rehearse: bool = False) -> list[Job]:
    """Every job in order, each once; `rehearse`: tiny models, few cells, every stage."""
    jobs = _rehearsal() if rehearse else _full()
    return list({(job.stage, job.cell): job for job in jobs}.values())


def _full() -> list[Job]:
    tried = of_model("gpt2", 1)
    jobs = _first({"scale": 1})
    jobs += _step_cells([("gpt2", 1)], ("default", "fused"), ("fp32",))
    jobs += _step_cells([("gpt2", 4), ("bert", 1), ("resnet50", 8)], ("default",), ("fp32",))
    jobs += _step_cells([("gpt2", 1), ("resnet50", 8)], ("default",), ("bf16",))
    jobs += _step_cells([("gpt2", 4), ("bert", 1), ("resnet50", 8)], ("fused",), ("fp32", "bf16"))
    jobs += _step_cells([("gpt2", 4), ("bert", 1)], ("default",), ("bf16",))
    jobs += [_by_method("times", run, tried) for run in ("eager", "planned")]
    jobs += [_by_method("times", run, of_model("gpt2", 1, "fused")) for run in ("eager", "planned")]
    graph = of_model("gpt2", 1, "fused")
    jobs += [Job("cuda_graph", name_of(graph), 150.0, graph), Job("mempool", "results at planned addresses")]
    largest = of_model("gpt2", 4, memory_bytes=4 * 2**30)
    jobs += [_by_method("largest", run, largest, 150.0) for run in ("fit", "eager", "planned")]
    jobs += [Job(stage, "gpt2_tiny", 240.0, of_model("gpt2_tiny", 2)) for stage in ("memcheck", "snapshot")]
    jobs += _budgets("gpt2", 8) + _integrations("124m", 20)
    best = ("eager", "planned", "fused", "planned, fused", "compiled, reduce-overhead")
    jobs += _compared("gpt2", 1, "fp32", best) + _compared("gpt2", 8, "fp32", best)
    jobs += _compared("gpt2", 1, "fp32") + _compared("gpt2", 8, "fp32")
    for dtype in ("fp32", "bf16"):
        for batch in (1, 8, 32):
            for model in ("gpt2", "resnet50", "bert", "vit", "gpt2_medium", "llama_1b"):
                jobs += _compared(model, batch, dtype)
    for model in ("gpt2", "resnet50", "bert", "vit", "gpt2_medium", "llama_1b"):
        for dtype in ("fp32", "bf16"):
            whole = of_model(model, 8, dtype=dtype, memory_bytes=0)
            jobs += [_by_method("largest", run, whole, 240.0) for run in ("eager", "checkpointing", "planned")]
    return jobs


def _first(settings: dict[str, Any]) -> list[Job]:
    return [
        Job("machine", "versions and memory", 90.0, settings),
        Job("bits", "single ops", 120.0, {**settings, "ops": OPS}),
        *(Job("identity", kind, 300.0, {"kind": kind}) for kind in ZOO),
    ]


def _rehearsal() -> list[Job]:
    tried = of_model("gpt2_tiny", 2)
    jobs = [
        *_first({"scale": 0})[:2],
        Job("identity", "models", 300.0, {"kind": "models", "names": ["tiny", "resnet"]}),
        Job("identity", "optimizers", 200.0, {"kind": "optimizers", "names": ["adam_foreach", "adamw_fused"]}),
        Job("identity", "steps", 200.0, {"kind": "steps", "names": ["clipped"]}),
        Job("differing", "op mm", settings={"op": "mm", "scale": 0}),
        Job("differing", "model tiny", 200.0, {"kind": "models", "name": "tiny"}),
    ]
    jobs += _step_cells([("gpt2_tiny", 2)], ("default", "fused"), ("fp32",))
    jobs += _step_cells([("resnet_tiny", 2)], ("default",), ("bf16",))
    jobs += [_by_method("times", run, tried) for run in ("eager", "planned")]
    graph = of_model("gpt2_tiny", 2, "fused")
    jobs += [Job("cuda_graph", name_of(graph), 150.0, graph), Job("mempool", "results at planned addresses")]
    largest = of_model("gpt2_tiny", 32, memory_bytes=256 * 2**20)  # segments of 20 MiB are little of it
    jobs += [_by_method("largest", run, largest, 150.0) for run in ("fit", "eager", "planned")]
    jobs += [Job(stage, "gpt2_tiny", 240.0, tried) for stage in ("memcheck", "snapshot")]
    jobs += _budgets("gpt2_tiny", 2) + _integrations("tiny", 8)
    jobs += _compared("gpt2_tiny", 2, "fp32")
    for model in ("bert_tiny", "vit_tiny", "llama_tiny", "resnet_tiny"):
        jobs += _compared(model, 2, "fp32", ("eager", "planned"))
    return jobs


def following(job: Job, lines: Iterable[Line]) -> list[Job]:
    """What the outcome of `job` asks for next.

    Eager runs that differ from each other: once more with deterministic algorithms, to compare bits.
    """
    if job.stage != "step" or job.settings["run"] != "planned" or job.settings.get(DETERMINISTIC):
        return []
    planned = latest(lines).get(("step", job.cell, "planned"), {})
    if planned.get("repeatable") is not False:
        return []
    settings = {**job.settings, DETERMINISTIC: True}
    name = f"{name_of(settings)} {DETERMINISTIC}"
    return [Job("step", f"{name} {run}", 240.0, {**settings, "run": run}) for run in ("eager", "planned")]


def differing(lines: Iterable[Line]) -> list[Job]:
    """Ops and models of `bits` and `identity` whose bits differ where they have to be equal: each to be looked into."""
    jobs = []
    for (stage, cell, part), line in latest(lines).items():
        if line["status"] != "differs" or part is None:
            continue
        if stage == "bits":
            jobs.append(Job("differing", f"op {part}", 120.0, {"op": part, "scale": 1}))
        elif stage == "identity":
            jobs.append(Job("differing", f"{cell[:-1]} {part}", 120.0, {"kind": cell, "name": part}))
    return jobs
