"""What fusing is worth: chains run a few rows at a time, as the runtime runs them, against their ops run whole.

    python benchmarks/fusing.py [--chains gelu,loss] [--threads 1,2] [--rounds 2] [--shares 0.25,0.5] [--page]

Each chain is the whole training step of a small module, captured. Both sides are timed op by op (runtime/timing.py) in
an arena whose memory is there, the ops of the one run whole, with `out=`; in turns. A row is one fused op: its time
over the sum of its ops'. Bits: two steps with everything fused against two eager ones. `--shares`: parts of the cache
that the rows of one run may take, in place of the runtime's own choice. Rows that are there already are kept, those of
other chains and sizes are added; `--page` writes docs/fusing.md.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from machine import described, write
from torch import nn
from torch.nn.functional import dropout

from roam_lab.capture.captured import capture_step
from roam_lab.capture.step import as_step
from roam_lab.ir import Graph, Op, Rewritten, check_rewritten
from roam_lab.plan import Plan, make_plan
from roam_lab.plan.rewriting import place, rewrites_of
from roam_lab.rewrite.expand import expand
from roam_lab.rewrite.tape import DROP, problem_of
from roam_lab.runtime import row_chains
from roam_lab.runtime.caches import cache_bytes
from roam_lab.runtime.hook import hook
from roam_lab.runtime.timing import op_times

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "fusing.json", ROOT / "docs" / "fusing.md"


class Gelu(nn.Module):
    """GPT-2's GELU, which is eight pointwise ops, over what a scale makes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.scale
        inner = torch.tanh(0.7978845608 * (x + 0.044715 * torch.pow(x, 3.0)))
        return 0.5 * x * (1.0 + inner)


class Norm(nn.Module):
    """Dropout, the residual and the norm after it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.norm = nn.Parameter(torch.rand(width)), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + dropout(x * self.scale, 0.1, self.training))


class Scale(nn.Module):
    """Logits, by a scale of what they are made of."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class Weight(nn.Module):
    """One parameter, which AdamW updates."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(rows, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


def _squares(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return model(batch).square().mean()


def _activations(module: type[nn.Module], width: int) -> Callable[[int], dict[str, Any]]:
    return lambda rows: {"model": module(width), "batch": torch.randn(rows, width), "loss": _squares}


def _loss(rows: int, vocabulary: int = 32_000) -> dict[str, Any]:
    batch = torch.randn(rows, vocabulary), torch.randint(0, vocabulary, (rows,))
    return {"model": Scale(vocabulary), "batch": batch, "loss": nn.CrossEntropyLoss()}


def _update(rows: int, width: int = 768) -> dict[str, Any]:
    return {"model": Weight(rows, width), "batch": torch.randn(1, rows), "loss": _squares}


CHAINS: dict[str, tuple[Callable[[int], dict[str, Any]], tuple[int, ...]]] = {
    "gelu": (_activations(Gelu, 3072), (1024, 4096, 16384)),
    "norm": (_activations(Norm, 768), (1024, 4096, 16384)),
    "loss": (_loss, (256, 1024, 4096)),
    "adamw": (_update, (768, 3072, 50257)),
}
"""Name -> what makes it of a number of rows, and three numbers of rows."""


def _plan(graph: Graph) -> Plan:
    """With everything fused that can be, and all that a chain can make again made again where it is needed: the planner
    does that where it lowers the peak."""
    problem = problem_of(graph, ("fuse", "recompute"))
    state = problem.start.copy()
    for gap in problem.free_gaps:
        if problem.tape.inside[problem.gap_storage[gap]]:
            state[gap] = DROP
    rewritten = expand(problem, state, split=False)  # every chain by rows, also where that lowers no peak
    placed = place(rewritten)
    check_rewritten(graph, rewritten, placed.order)
    return replace(
        make_plan(graph, order="captured", layout="best_fit", rewrites=()),
        order=placed.order, offsets=dict(placed.layout.offsets), arena_bytes=placed.layout.arena_bytes,
        graph=rewritten.graph, rewrites=rewrites_of(rewritten), origins=rewritten.origins,
    )  # fmt: skip


class Measured:
    """One chain of one size: captured, planned with fusing alone, and timed in both ways."""

    def __init__(self, name: str, rows: int) -> None:
        torch.manual_seed(0)
        made = CHAINS[name][0](rows)
        self.model, self.batch, self.step = made["model"].train(), made["batch"], as_step(made["loss"])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), foreach=False)
        self.step(self.model, self.optimizer, self.batch)
        self.captured = capture_step(self.model, self.optimizer, self.batch, self.step)
        self.plan = _plan(self.captured.graph)

    def same_bits(self) -> bool:
        """Whether two planned steps leave what two eager ones leave."""
        twins = copy.deepcopy((self.model, self.optimizer))
        found = []
        for planned, (model, optimizer) in ((False, (self.model, self.optimizer)), (True, twins)):
            torch.manual_seed(1)
            if planned:
                run = hook(self.plan, model, optimizer, step=self.step, on_mismatch="error", check="never")
            else:
                run = lambda batch, model=model, optimizer=optimizer: self.step(model, optimizer, batch)  # noqa: E731
            losses = [run(self.batch).clone() for _ in range(2)]
            state = [value for one in optimizer.state.values() for value in one.values()]
            found.append([*losses, *model.parameters(), *state])
        return all(torch.equal(a, b) for a, b in zip(*found, strict=True))

    def rows(self, rounds: int) -> Iterator[dict[str, Any]]:
        """A row for each fused op."""
        rewritten = self.plan.rewritten
        assert rewritten is not None
        whole, fused = [], []
        for _ in range(rounds):
            whole.append(self._times(None))
            fused.append(self._times(rewritten))
        apart = list(map(min, zip(*whole, strict=True)))  # what else runs on the machine only adds
        together = list(map(min, zip(*fused, strict=True)))
        graph = self.captured.graph
        for op, origin, us in zip(rewritten.graph.ops, rewritten.origins, together, strict=True):
            if len(origin.ops) > 1:
                parts = sum(apart[index] for index in origin.ops)
                chain = row_chains.chain_of(
                    self.captured, origin, row_chains.scratch_bytes(rewritten.graph, op, origin)
                )
                yield {
                    "op": op.name,
                    "ops": [_target(graph.ops[index]) for index in origin.ops],
                    "chain_rows": chain.rows,
                    "at_once": chain.at_once,
                    "inside_bytes": _inside(graph, op, rewritten, origin.ops),
                    "parts_us": round(parts, 1),
                    "fused_us": round(us, 1),
                    "share": round(us / parts, 4),
                }

    def _times(self, rewritten: Rewritten | None) -> list[float]:
        return op_times(self.captured, self.model, self.optimizer, self.batch, self.step, rewritten)


def _target(op: Op) -> str:
    return op.target.removeprefix("aten.").partition(".")[0]


def _inside(graph: Graph, op: Op, rewritten: Rewritten, ops: tuple[int, ...]) -> int:
    """Bytes of what passes inside a fused op, all of it."""
    made = {storage for index in ops for storage in graph.ops[index].creates}
    return sum(graph.storages[storage].bytes for storage in made - set(op.creates))


def _kept(output: Path) -> list[dict[str, Any]]:
    return json.loads(output.read_text())["rows"] if output.exists() else []


def _told(row: dict[str, Any]) -> str:
    return (
        f"{row['chain']:6} {row['rows']:6} rows, {row['threads']} threads, {row['cache_share']:g} of the cache, "
        f"{row['at_once']:5} at once: {row['parts_us']:10,.0f} -> {row['fused_us']:10,.0f} us, {row['share']:.3f} "
        f"{'same bits' if row['same_bits'] else 'OTHER BITS'}: {' '.join(row['ops'])}"
    )


def main() -> None:
    """Measure what is asked for, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", default=",".join(CHAINS))
    parser.add_argument("--sizes", default="0,1,2", help="which of each chain's sizes")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--shares")
    parser.add_argument("--page", action="store_true", help="write the page from the rows that are there")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if asked.page:
        write(str(PAGE), page(json.loads(asked.output.read_text())))
        return
    for name in asked.chains.split(","):
        for size in map(int, asked.sizes.split(",")):
            count = CHAINS[name][1][size]
            torch.set_num_threads(1)
            measured = Measured(name, count)
            same = measured.same_bits()
            found = []
            for threads in map(int, asked.threads.split(",")):
                torch.set_num_threads(threads)
                for share in asked.shares.split(",") if asked.shares else [row_chains.CACHE_SHARE]:
                    row_chains.CACHE_SHARE = float(share)
                    beside = {"cache_share": row_chains.CACHE_SHARE, "threads": threads, "same_bits": same}
                    for row in measured.rows(asked.rounds):
                        found.append({"chain": name, "rows": count, **beside, **row})
                        print(_told(found[-1]), flush=True)
            kept = [row for row in _kept(asked.output) if (row["chain"], row["rows"]) != (name, count)]
            cache = cache_bytes(torch.device("cpu"))
            write(
                str(asked.output), json.dumps({**described(), "cache_bytes": cache, "rows": [*kept, *found]}, indent=1)
            )


LEAST_US = 300
"""Chains that take less are a few calls: what is measured there is the calls."""


def page(data: dict[str, Any]) -> str:
    """docs/fusing.md."""
    rows = [row for row in data["rows"] if row["parts_us"] >= LEAST_US and row["inside_bytes"] >= 2**20]
    machine = data["machine"]
    head = f"""# What fusing is worth, measured

<!-- written by benchmarks/fusing.py -->

`make bench-fusing` on {data["date"][:10]}, commit {data["commit"]}: {machine["processor"]}, {machine["cores"]} cores,
cache {data["cache_bytes"] / 2**20:.0f} MiB, torch {data["versions"]["torch"]}. A fused op runs a chain of ops a few
rows at a time. Each line is one fused op, as the runtime runs it, against the same ops run whole into an arena: the
time of the one over the time of the others (below 1: fusing is faster), the least of several turns each. `at once`:
rows that are run at a time, chosen so that what the chain touches takes {row_chains.CACHE_SHARE:g} of the cache.
`inside`: MiB that are never whole in memory. Chains of less than {LEAST_US} us, and chains in which nothing passes
inside (they run whole), are left out. All figures: `benchmarks/results/fusing.json`.
"""
    lines = [
        head,
        "| chain | ops | rows | inside MiB | 1 thread | at once | 2 threads | at once | bits |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    chains: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = {}
    for row in rows:
        chains.setdefault((row["chain"], row["rows"], row["op"]), {})[row["threads"]] = row
    for (name, count, _), by_threads in chains.items():
        row = next(iter(by_threads.values()))
        parts = [name, _ops(row["ops"]), f"{count:,}", f"{row['inside_bytes'] / 2**20:,.0f}"]
        for threads in (1, 2):
            one = by_threads.get(threads)
            parts += ["", ""] if one is None else [f"{one['share']:.2f}", f"{one['at_once']:,}"]
        lines.append(f"| {' | '.join([*parts, 'same' if row['same_bits'] else 'OTHER'])} |")
    worst = max(rows, key=lambda row: row["share"])
    whole, fused = (sum(row[key] for row in rows) for key in ("parts_us", "fused_us"))
    gains = "a plan claims no more than what the worst of these chains gives."
    if worst["share"] >= 1:
        gains = "it holds for every chain, and the worst of these gains nothing: a plan claims the memory, and no time."
    lines += [
        "",
        f"Worst: {worst['share']:.2f} ({worst['chain']}, {worst['rows']:,} rows, {worst['threads']} threads: "
        f"{_ops(worst['ops'])}). All together: {fused / whole:.2f}.",
        f"`fused_share` for a CPU is {min(1.0, worst['share']):.2f}: {gains}",
    ]
    return "\n".join(lines)


def _ops(names: list[str]) -> str:
    """A chain's ops: the first, the last, and how many."""
    return ", ".join(names) if len(names) <= 5 else f"{len(names)} ops, {names[0]} to {names[-1]}"


if __name__ == "__main__":
    sys.exit(main())
