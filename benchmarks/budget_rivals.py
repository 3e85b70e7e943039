"""What others do under a memory budget, costed as ours: python -m benchmarks.budget_rivals [GRAPH ...] [--shared DIR]

On each graph of ../shared/graphs2: `torch.utils.checkpoint` on every block and on every second one; a selective policy
written by hand (matrix products, convolutions and attention are kept, all else is computed again); and torch's own
`activation_memory_budget`, whose partitioner (min-cut, dp knapsack) is run on the model's joint graph. A copy of an op
costs what the graph says the op costs; ops of torch's graphs are costed by the graph's own device, in the same way.

Modelled in their favour: what checkpointing drops is made again just before it is needed, dropout included, and no op
that nobody needs; what a partitioned graph saves is freed at its last use. Their optimizers are left out of the peak.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.fx import GraphModule, Node

from benchmarks.models import bert, gpt2, vit
from roam_lab.capture.flops import flops_of
from roam_lab.ir import Graph, captured_order, live_peak, load_graph
from roam_lab.ir.graph import Device
from roam_lab.rewrite.evaluate import evaluate
from roam_lab.rewrite.roles import roles_of
from roam_lab.rewrite.segments import forward_end, handed_on, segments
from roam_lab.rewrite.tape import HOLD, KEEP, Problem, problem_of
from roam_lab.rewrite.trace import new_trace

ROOT = Path(__file__).resolve().parents[1]
SHARED, RESULTS = ROOT.parent / "shared" / "graphs2", ROOT / "benchmarks" / "results" / "budget_rivals.json"
BUDGETS = tuple(number / 10 for number in range(1, 10))
KEPT = ("mm", "addmm", "bmm", "baddbmm", "convolution", "_scaled_dot_product")
Row = dict[str, Any]


def repeatable(graph: Graph) -> Graph:
    """With every op of the forward pass that draws random numbers, and what it writes in place, as one pure op, as
    checkpointing runs them again from the random state that it kept."""
    ops = list(graph.ops)
    creator = graph.creator
    for index, op in enumerate(ops):
        if op.phase != "forward":
            continue
        if op.random and op.creates:
            ops[index] = replace(op, random=None, pure=True)
        made = [creator[storage] for storage in op.writes]
        if op.creates or len(made) != 1 or made[0] is None:
            continue
        first = ops[made[0]]
        between = {one for one in range(made[0] + 1, index) if set(op.writes) & {*ops[one].reads, *ops[one].writes}}
        others = [storage for storage in op.reads if storage not in op.writes and creator[storage] is not None]
        if first.phase != "forward" or between or others:
            continue
        us = (first.time_us or 0) + (op.time_us or 0)
        ops[made[0]] = replace(first, time_us=us, random=None, pure=True)
        ops[index] = replace(op, reads=(), writes=(), time_us=0.0, random=None, rows=None, reuse=())
    return replace(graph, ops=tuple(ops))


def _state(problem: Problem, dropped: Callable[[int], bool], kept: Callable[[int], bool] = lambda _: False) -> Any:
    """Of storages that the forward pass makes, those for which `dropped` holds are made again in the backward one;
    those for which `kept` holds stay for what is made of them again."""
    tape, state, end = problem.tape, problem.start.copy(), forward_end(problem)
    for gap in problem.free_gaps.tolist():
        storage = int(problem.gap_storage[gap])
        if tape.gap_instruction[gap] > end:
            continue
        if kept(storage):
            state[gap] = KEEP
        elif not dropped(storage):
            continue
        elif gap == tape.gap_at[storage + 1] - 1 or tape.gap_instruction[gap + 1] > end:
            state[gap] = HOLD
    return state


def by_rule(graph: Graph) -> Iterable[Row]:
    """Checkpointing and the selective policy. `extra_time` as a fraction of the graph's, `peak` of the captured one."""
    problem = problem_of(repeatable(graph), ("recompute",))
    captured = live_peak(graph, captured_order(graph)).bytes
    levels = roles_of(problem).levels
    blocks = segments(problem, max(levels, key=lambda level: 12 <= int(level.max()) + 1 <= 16), 1)
    crossing = handed_on(problem, blocks)
    creator = problem.tape.creator

    def kept(storage: int) -> bool:
        target = problem.graph.ops[problem.order[creator[storage]]].target.removeprefix("aten.")
        return target.startswith(KEPT)

    def in_block(storage: int, every: int) -> bool:
        block = blocks[creator[storage]]
        return bool(block >= 0 and block % every == 0 and storage not in crossing)

    states = {
        "checkpoint every block": _state(problem, lambda storage: in_block(storage, 1)),
        "checkpoint every second block": _state(problem, lambda storage: in_block(storage, 2)),
        "selective": _state(problem, lambda storage: in_block(storage, 1), kept),
    }
    for name, state in states.items():
        cost = evaluate(problem, state, new_trace(problem))
        if cost.possible:
            yield {"rival": name, "peak_bytes": cost.peak, "peak": cost.peak / captured,
                   "extra_time": cost.us / problem.base_us - 1}  # fmt: skip


class _Enough(Exception):  # noqa: N818  # no error: the partitions are known
    """The joint graph was seen; nothing need run."""


def by_budget(graph: Graph, make: Callable[[], dict[str, Any]]) -> list[Row]:
    """torch's partitions of the model's joint graph at each budget. Nothing is computed: all tensors are fake."""
    import transformers.masking_utils
    from torch._functorch import config
    from torch._functorch.aot_autograd import aot_function, make_boxed_func
    from torch._functorch.partitioners import default_partition, min_cut_rematerialization_partition
    from torch._subclasses import FakeTensorMode
    from transformers.modeling_utils import PreTrainedModel

    transformers.masking_utils.is_tracing = lambda *_: True  # functional tensors are not known as traced ones
    PreTrainedModel.initialize_weights = lambda *_, **__: None  # which looks at values, and fakes have none
    found: list[Row] = []
    captured = live_peak(graph, captured_order(graph)).bytes
    base_us = sum(op.time_us or 0 for op in graph.ops)
    assert graph.device is not None
    device = graph.device

    def partition(joint: GraphModule, inputs: Any, *, num_fwd_outputs: int, **more: Any) -> Any:
        whole = default_partition(copy.deepcopy(joint), inputs, num_fwd_outputs=num_fwd_outputs, **more)
        nothing_twice = _us(whole, device)
        for budget in BUDGETS:
            with config.patch(activation_memory_budget=budget):
                parts = min_cut_rematerialization_partition(
                    copy.deepcopy(joint), inputs, num_fwd_outputs=num_fwd_outputs, **more
                )
            peak = _peak(parts, num_fwd_outputs)
            extra = (_us(parts, device) - nothing_twice) / base_us
            found.append({"rival": "activation_memory_budget", "budget": budget, "peak_bytes": peak,
                          "peak": peak / captured, "extra_time": extra})  # fmt: skip
            print(found[-1], flush=True)
        whole_peak = _peak(whole, num_fwd_outputs)
        print(f"nothing computed twice: {whole_peak / captured:.3f} of the captured peak", flush=True)
        raise _Enough

    with FakeTensorMode(allow_non_fake_inputs=True):
        made = make()
        model, batch = made["model"], made["batch"]

        def loss(parameters: Any, given: Any) -> Any:
            return torch.func.functional_call(model, parameters, (), given).loss

        def compiler(module: GraphModule, _: Any) -> Any:
            return make_boxed_func(module.forward)

        values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        with suppress(_Enough):
            aot_function(loss, compiler, compiler, partition_fn=partition)(values, batch)
    return found


def _tensors(node: Node) -> list[torch.Tensor]:
    value = node.meta.get("val")
    return [one for one in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(one, torch.Tensor)]


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _us(parts: tuple[GraphModule, GraphModule], device: Device) -> float:
    """What the ops of both graphs take; views take nothing."""
    total = 0.0
    for module in parts:
        for node in module.graph.nodes:
            if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
                continue
            read = {_key(one): one for given in node.all_input_nodes for one in _tensors(given)}
            made = {_key(one): one for one in _tensors(node)}
            if made and made.keys() <= read.keys():
                continue
            moved = sum(one.untyped_storage().nbytes() for one in {**read, **made}.values())
            slowest = max((flops_of(node) or 0) / device.flops_per_s, moved / device.bytes_per_s)
            total += device.launch_us + 1e6 * slowest
    return total


def _peak(parts: tuple[GraphModule, GraphModule], outputs: int) -> int:
    """Live peak of both graphs, one after the other, without what is there before; gradients stay to the end."""
    forward, backward = parts
    results = next(node for node in forward.graph.nodes if node.op == "output").args[0]
    handed = {_key(one) for node in results if isinstance(node, Node) for one in _tensors(node)}
    there = {_key(one) for node in forward.graph.nodes if node.op == "placeholder" for one in _tensors(node)}
    sizes: dict[tuple[int, int], int] = {}
    spans: dict[tuple[int, int], list[int]] = {}
    moment = 0
    for number, module in enumerate((forward, backward)):
        for node in module.graph.nodes:
            moment += 1
            if node.op == "output" and number == 0:
                continue
            touched = [one for given in (node, *node.all_input_nodes) for one in _tensors(given)]
            if node.op == "placeholder":
                continue  # what is saved is there from the forward pass
            for one in touched:
                key = _key(one)
                if key not in there:
                    place = (0 if key in handed else number, key)
                    sizes[place] = one.untyped_storage().nbytes()
                    spans.setdefault(place, [moment, moment])[1] = moment
    change = [0] * (moment + 2)
    for place, (first, last) in spans.items():
        change[first] += sizes[place]
        change[last + 1] -= sizes[place]
    live = peak = 0
    for one in change:
        live += one
        peak = max(peak, live)
    return peak


def _llama(batch: int) -> dict[str, Any]:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12, use_cache=False
    )
    ids = torch.zeros(batch, 1024, dtype=torch.long)
    return {"model": LlamaForCausalLM(config).train(), "batch": {"input_ids": ids, "labels": ids}}


def _long_gpt2(batch: int) -> dict[str, Any]:
    made = gpt2(batch)
    ids = torch.zeros(batch, 1024, dtype=torch.long)
    return {**made, "batch": {"input_ids": ids, "labels": ids}}


def _resnet50(batch: int) -> dict[str, Any]:
    from transformers import ResNetConfig, ResNetForImageClassification

    made = {"pixel_values": torch.zeros(batch, 3, 224, 224), "labels": torch.zeros(batch, dtype=torch.long)}
    return {"model": ResNetForImageClassification(ResNetConfig(num_labels=1000)).train(), "batch": made}


MODELS: dict[str, Callable[[], dict[str, Any]]] = {
    "gpt2_seq128_batch32": lambda: gpt2(32),
    "bert_base_seq128_batch32": lambda: bert(32),
    "vit_b16_batch32": lambda: vit(32),
    "resnet50_batch32": lambda: _resnet50(32),
    "llama160m_seq1024_batch8": lambda: _llama(8),
    "gpt2_seq1024_batch8": lambda: _long_gpt2(8),
}


def main() -> None:
    """Add the rows of the graphs that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", nargs="*", default=list(MODELS))
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--rules", action="store_true", help="without torch's partitioner")
    asked = parser.parse_args()
    for name in asked.graphs:
        graph = load_graph(asked.shared / f"{name}.json.gz")
        rows = list(by_rule(graph))
        print(name, *rows, sep="\n", flush=True)
        known: dict[str, list[Row]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        rows += (
            [one for one in known.get(name, []) if "budget" in one] if asked.rules else by_budget(graph, MODELS[name])
        )
        known[name] = rows
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
