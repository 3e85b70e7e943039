"""What the paper run accepts, ours and the judge's, does the same when it is run on real bytes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from roam_lab.errors import JudgementError
from roam_lab.ir import Graph, Rewritten, check_rewritten, graph_to_data
from roam_lab.plan.origins_json import add_origins
from roam_lab.plan.rewriting import place
from tests.rewrite.graphs import judge, random_step
from tests.rewrite.machine import same_when_run
from tests.runtime.offloading import offloaded
from tests.runtime.rewriting import chains_pay, random_rewriting

Check = Callable[[Graph, Rewritten, Sequence[int]], bool]


def ours(graph: Graph, rewritten: Rewritten, order: Sequence[int]) -> bool:
    try:
        check_rewritten(graph, rewritten, order)
    except JudgementError:
        return False
    return True


def the_judges(graph: Graph, rewritten: Rewritten, order: Sequence[int]) -> bool:
    data = graph_to_data(rewritten.graph)
    add_origins(data["ops"], rewritten.origins)
    try:
        judge().check_rewriting(graph_to_data(graph), data, order)
    except SystemExit:
        return False
    return True


def rewriting(seed: int) -> tuple[Graph, Rewritten]:
    graph = chains_pay(random_step(seed))
    return graph, offloaded(random_rewriting(graph, seed), seed, share=0.2)


def spoilt(graph: Graph, rewritten: Rewritten, draw: random.Random) -> tuple[Rewritten, list[int]] | None:
    """The same with one op left out, two ops the other way round, or one value looked for in another storage as large;
    None where the graph has no such place."""
    order = list(range(len(rewritten.graph.ops)))
    at, how = draw.randrange(len(order)), draw.random()
    if how < 0.25:
        del order[at]
    elif how < 0.6:
        other = max(0, at - draw.choice((1, 1, 2, 5)))
        order[at], order[other] = order[other], order[at]
    else:
        origin, op = rewritten.origins[at], rewritten.graph.ops[at]
        storages = rewritten.graph.storages
        places = [k for k, one in enumerate(origin.reads) if one is not None and storages[one].bytes]
        if not places:
            return None
        k = draw.choice(places)
        size = storages[origin.reads[k]].bytes  # type: ignore[index]
        instead = draw.choice([s for s, one in enumerate(storages) if one.bytes == size])
        reads = (*origin.reads[:k], instead, *origin.reads[k + 1 :])
        origins = list(rewritten.origins)
        origins[at] = replace(origin, reads=reads)
        ops = list(rewritten.graph.ops)
        ops[at] = replace(op, reads=tuple(dict.fromkeys([*op.reads, instead])), reuse=())
        new = object.__new__(Graph)  # its storages may be read before they are made
        for name, value in (*vars(rewritten.graph).items(), ("ops", tuple(ops))):
            object.__setattr__(new, name, value)
        rewritten = Rewritten(new, tuple(origins))
    return rewritten, order


@pytest.mark.parametrize("check", [ours, the_judges])
@pytest.mark.parametrize("first", range(0, 100, 50))
def test_what_is_accepted_does_the_same_in_its_arena(check: Check, first: int) -> None:
    for seed in range(first, first + 50):
        graph, rewritten = rewriting(seed)
        placed = place(rewritten, layout="llfb")
        assert check(graph, rewritten, placed.order), seed
        assert same_when_run(graph, rewritten, placed.order, placed.layout.offsets), seed


@pytest.mark.parametrize("check", [ours, the_judges])
@pytest.mark.parametrize("first", range(0, 100, 50))
def test_what_is_not_the_same_is_refused(check: Check, first: int) -> None:
    """And little else: what has no bytes, and writes that nobody reads, may be missing without any difference."""
    draw = random.Random(first)
    found: Counter[tuple[bool, bool]] = Counter()
    for seed in range(first, first + 50):
        graph, rewritten = rewriting(seed)
        for _ in range(6):
            made = spoilt(graph, rewritten, draw)
            if made is not None:
                accepted, same = check(graph, *made), same_when_run(graph, *made)
                assert same or not accepted, seed
                found[accepted, same] += 1
    assert found[True, True] > 50
    assert found[False, False] > 100
    assert found[False, True] < 0.1 * found.total()
