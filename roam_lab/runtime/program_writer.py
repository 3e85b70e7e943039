"""Writes the program of a captured step in a planned order."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch.fx import Node

from roam_lab.capture import Captured
from roam_lab.capture.nodes import tensors_of
from roam_lab.ir import Graph, Op, Rewritten, untouched
from roam_lab.ir.host_copies import HostCopy, host_copies
from roam_lab.plan.beside import takes_large_blocks, top_of
from roam_lab.runtime.doing import Doing
from roam_lab.runtime.holes import Request, requests
from roam_lab.runtime.host_copies import END_COPY
from roam_lab.runtime.program import BEFORE, GIVE_UP, GIVEN, LEND, SETTLE, TAKE_BACK, Program
from roam_lab.runtime.program_lines import ProgramLines
from roam_lab.runtime.row_lines import write_chain

_numbers = itertools.count(1)


def write_program(
    captured: Captured,
    order: Sequence[int],
    offsets: Mapping[int, int] | None = None,
    planned: int = 0,
    lending: Mapping[int, int] | None = None,
    rewritten: Rewritten | None = None,
) -> Program:
    """The program of a captured step in `order`.

    `offsets`: storage -> byte offset, which decides what parts of a multi-tensor call can be run as one. `planned`:
    bytes that arena and ops may hold together. `lending`: storage -> bytes of the arena that are lent for it.
    `rewritten`: the graph that runs in place of the captured one.
    """
    lending = lending or {}
    rewritten = rewritten or untouched(captured.graph)
    graph, nodes = rewritten.graph, captured.step.nodes
    creates = {node: op.creates for node, op in zip(nodes, captured.graph.ops, strict=True)}
    writer = ProgramLines(captured, graph, creates)
    what = [Doing.of(captured, origin) for origin in rewritten.origins]
    last: dict[int, int] = {}
    for step, index in enumerate(order):
        for storage in graph.uses[index]:
            last[storage] = step
    ends: dict[int, list[int]] = {}
    for storage, step in last.items():
        if graph.storages[storage].external and not graph.storages[storage].output:
            ends.setdefault(step, []).append(storage)
    starts: dict[int, list[tuple[int, HostCopy]]] = {}
    awaited: dict[int, list[int]] = {}
    for number, copy in enumerate(host_copies(rewritten, order)):
        starts.setdefault(copy.start, []).append((number, copy))
        awaited.setdefault(copy.end, []).append(number)
    op_of_line: dict[int, int] = {}
    place_of = {storage: (offsets or {})[storage] for storage in lending}
    requested: dict[int, Request] = {}
    if captured.device == "cpu":
        requested = requests(graph, order, offsets or {}, top_of(graph, offsets or {}), planned)
    first_write, draws_before = 0, False
    first_draw: int | None = None
    step = 0
    while step < len(order):
        index, start = order[step], len(writer.lines)
        together = _together(graph, order, step, offsets or {}, lending, what)
        if not first_write:
            stays = any(writer.writes_what_stays(node) for one in together for node in what[one].nodes)
            first_write = start + 2 if stays else 0
            draws_before = draws_before or (not first_write and bool(graph.ops[index].random))
        if first_draw is None and graph.ops[index].random:
            first_draw = start
        now = range(step, step + len(together))
        writer.lines += [f"{END_COPY}({number})" for place in now for number in awaited.get(place, ())]
        for place in now:
            if place in requested:
                request = requested[place]
                writer.lines += [f"{GIVE_UP}({request.holes})"] if request.holes else []
                writer.lines += [f"{BEFORE}({request.need}, {request.live}, {request.absent})"] if request.need else []
        filled = [storage for storage in graph.ops[index].creates if storage in lending]
        if filled:  # the largest first, as they were seen to be possible
            filled.sort(key=lambda one: (-graph.storages[one].bytes, one))
            places = [f"({place_of[one]}, {lending[one]})" for one in filled]
            writer.lines.append(f"{LEND}({', '.join(places)})")
        writer.moved = {old: new for one in together for old, new in what[one].moved.items()}
        if len(what[index].nodes) > 1:
            write_chain(writer, captured, graph.ops[index], rewritten.origins[index])
        elif len(together) == 1 and what[index].nodes:
            writer.op(what[index].nodes[0])
        elif what[index].nodes:
            writer.call_of([what[one].nodes[0] for one in together])
        if filled:
            others = [one for one in graph.ops[index].creates if takes_large_blocks(graph.storages[one])]
            several = dict.fromkeys((*filled, *others))
            named = {one: writer.locals_of[one][0] for one in several if one in writer.locals_of}  # not a workspace
            settled = ", ".join(f"({place_of.get(one)}, {name})" for one, name in named.items())
            writer.lines.append(f"{''.join(f'{name}, ' for name in named.values())}= {SETTLE}({settled})".lstrip("= "))
        for number, copy in (one for place in now for one in starts.get(place, ())):
            writer.start_copy(number, copy)
        over = [storage for place in now for storage in ends.get(place, ())]
        dead = [name for storage in over for name in writer.locals_of.get(storage, ())]
        if dead:
            writer.lines.append(" = ".join(dict.fromkeys(dead)) + " = None")
        returned = [str(place_of[storage]) for storage in over if storage in lending]
        if returned:
            writer.lines.append(f"{TAKE_BACK}({', '.join(returned)})")
        for line in range(start, len(writer.lines)):
            op_of_line[line + 2] = index  # line 1 is the def
        step += len(together)
    writer.moved = {}
    output = next(node for node in captured.trace.module.graph.nodes if node.op == "output")
    results: Any = output.args[0]
    left = captured.trace.left
    given = list(map(writer.expression, results))
    copies: dict[Node, str] = {}
    for index, one in enumerate(results):
        if isinstance(one, Node) and tensors_of(one) and not (index in left and writer.is_own(one)):
            given[index] = f"{writer.value(one)}.clone()"
            if results.count(one) > 1:  # one tensor in several places
                if one not in copies:
                    copies[one] = f"kept{len(copies)}"
                    writer.lines.append(f"{copies[one]} = {given[index]}")
                given[index] = copies[one]
    writer.lines.append(f"return {', '.join(given)},")
    arguments = (*writer.batch, *writer.settings)
    head = f"def step({', '.join(writer.names[writer.key(node)] for node in arguments)}):\n"
    source = head + "".join(f"    {line}\n" for line in writer.lines)
    return Program(
        source,
        writer.places,
        writer.constants,
        op_of_line,
        tuple(f"op {op.name} ({op.target}, {op.source or 'no source line'})" for op in graph.ops),
        tuple(writer.inputs[node] for node in arguments),
        tuple(found for node, found in writer.inputs.items() if node.users and found.kind not in GIVEN),
        f"<roam plan {graph.name} {next(_numbers)}>",
        tuple(writer.otherwise),
        first_write,
        draws_before,
        tuple(
            writer.inputs[node] if node.op == "placeholder" else getattr(captured.trace.module, str(node.target))
            for node in captured.undone
        ),
        first_draw is not None and first_draw < writer.last_check,
    )


def _together(
    graph: Graph,
    order: Sequence[int],
    step: int,
    offsets: Mapping[int, int],
    lending: Collection[int],
    what: Sequence[Doing],
) -> Sequence[int]:
    """The ops from this step on that are run as one call: parts of one multi-tensor call whose results lie in the same
    regions. No part may overwrite memory that another still reads, or be lent a range."""
    first = graph.ops[order[step]]
    taken: list[tuple[int, int]] = []
    for end in range(step, len(order)):
        op = graph.ops[order[end]]
        alike = op.call is not None and op.call == first.call and _regions(graph, op) == _regions(graph, first)
        alike = alike and not (end > step and (what[order[step]].moved or what[order[end]].moved))
        made = [(offsets[one], offsets[one] + graph.storages[one].bytes) for one in op.creates if one in offsets]
        meets = any(low < top and bottom < high for low, high in made for bottom, top in taken)
        if end > step and (meets or not alike or any(one in lending for one in (*first.creates, *op.creates))):
            return order[step:end]
        taken += made
        taken += [(offsets[one], offsets[one] + graph.storages[one].bytes) for one in op.touches if one in offsets]
    return order[step:]


def _regions(graph: Graph, op: Op) -> list[bool]:
    return [graph.storages[storage].external for storage in op.creates]
