"""Storages on the host: when they are copied, that nothing changes however late that is, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from roam_lab.capture.captured import Captured, capture_step
from roam_lab.capture.step import as_step
from roam_lab.errors import JudgementError
from roam_lab.ir import Origin, Rewritten, captured_order, lifetimes, live_peak, untouched
from roam_lab.ir.host_copies import HostCopy, host_copies
from roam_lab.ir.roofline import GPUS, with_roofline
from roam_lab.plan import make_plan
from roam_lab.plan.plan_json import load_plan
from roam_lab.rewrite.kinds import KINDS
from roam_lab.runtime.doing import check_runs
from roam_lab.runtime.executors.choice import choose
from roam_lab.runtime.hook import hook
from roam_lab.runtime.host_copies import check_copy, host_layout
from tests.rewrite.graphs import Writer, judged
from tests.runtime.offloading import LateCopies, offloaded
from tests.runtime.rewriting import plan_of, random_rewriting
from tests.zoo import MODELS, adamw, tiny


@pytest.fixture(scope="module")
def captured() -> Captured:
    torch.manual_seed(0)
    model, batch, loss = tiny()
    return capture_step(model, adamw(model.parameters()), batch, as_step(loss))


def by_hand() -> Rewritten:
    """One storage goes to the host in step 3, and comes back in step 5 for the last op."""
    write = Writer()
    first, there, again, other = (
        write.storage(100), write.storage(100, region="host"), write.storage(100), write.storage(40),
    )  # fmt: skip
    write.op((first,))
    write.op((other,), (first,))
    write.op((), (other,), (other,))
    write.op((there,), (first,))
    write.op((), (other,), (other,))
    write.op((again,), (there,))
    write.op((), (other,), (other,))
    write.op((), (again,))
    places: list[Any] = [None] * 8
    places[3], places[5] = (first, there), (there, again)
    graph = write.graph()
    ops = zip(graph.ops, places, strict=True)
    return Rewritten(graph, tuple(Origin((k,), op.reads) if c is None else Origin((), copies=c)
                                  for k, (op, c) in enumerate(ops)))  # fmt: skip


def test_a_copy_has_all_the_time_that_its_storage_is_there() -> None:
    rewritten = by_hand()
    order = captured_order(rewritten.graph)
    assert host_copies(rewritten, order) == (HostCopy(0, 1, 0, 3), HostCopy(1, 2, 5, 7))


def test_what_is_on_the_host_takes_no_memory_of_the_step() -> None:
    graph = by_hand().graph
    order = captured_order(graph)
    assert {life.storage for life in lifetimes(graph, order)} == {0, 2, 3}
    assert live_peak(graph, order).bytes == 140


def test_storages_share_the_host_one_after_the_other() -> None:
    graph = by_hand().graph
    storages = (*graph.storages, replace(graph.storages[1], bytes=700))
    graph = replace(graph, storages=storages)
    copies = (HostCopy(0, 1, 0, 3), HostCopy(1, 2, 5, 7), HostCopy(0, 4, 6, 8))
    assert host_layout(graph, copies).arena_bytes == 1024
    copies = (HostCopy(0, 1, 0, 3), HostCopy(0, 4, 5, 6), HostCopy(1, 2, 5, 7))
    assert host_layout(graph, copies).arena_bytes == 1536


@pytest.mark.parametrize("seed", range(6))
def test_the_judge_takes_them(captured: Captured, seed: int) -> None:
    rewritten = offloaded(random_rewriting(captured.graph, seed), seed)
    peak, _ = judged(captured.graph, rewritten)
    plan = plan_of(captured.graph, rewritten)
    assert plan.peak_bytes == peak
    assert "offload" in {rewrite.kind for rewrite in plan.rewrites}
    check_runs(captured, rewritten)


def test_a_plan_with_copies_survives_its_file(captured: Captured, tmp_path: Any) -> None:
    plan = plan_of(captured.graph, offloaded(random_rewriting(captured.graph, 1), 1))
    plan.save(tmp_path / "p.roam.json")
    assert load_plan(tmp_path / "p.roam.json") == plan
    assert load_plan(tmp_path / "p.roam.json", captured.graph) == plan


def test_a_hook_has_one_block_of_the_host_and_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roam_lab.runtime.host_memory.PlainCopies", LateCopies)
    torch.manual_seed(0)
    model, batch, loss = tiny()
    optimizer, function = adamw(model.parameters()), as_step(loss)
    graph = capture_step(model, optimizer, batch, function).graph
    rewritten = offloaded(untouched(graph), 0)
    step = hook(plan_of(graph, rewritten), model, optimizer, step=function, on_mismatch="error")
    LateCopies.started = LateCopies.late = 0
    step(batch)
    copies = sum(origin.copies is not None for origin in rewritten.origins)
    assert LateCopies.started == copies
    assert LateCopies.late > copies // 4
    assert 0 < step._pool.host.bytes.numel() <= rewritten.offloaded_bytes + 512 * copies
    step.release()
    assert step._pool.host.bytes.numel() == 0
    step(batch)
    assert step.planned_steps == 2


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_what_the_planner_moves_runs_bit_for_bit(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roam_lab.runtime.host_memory.PlainCopies", LateCopies)
    monkeypatch.setattr(LateCopies, "seed", seed)
    torch.manual_seed(0)
    model, batch, loss = MODELS["gpt2"]()
    optimizer, function = adamw(model.parameters()), as_step(loss)
    captured = capture_step(model, optimizer, batch, function)
    graph = with_roofline(captured.graph, replace(GPUS["h100"], host_bytes_per_s=5e9))
    plan = make_plan(graph, extra_time=0.1, rewrites=KINDS)
    assert {"in_place", "offload"} <= {rewrite.kind for rewrite in plan.rewrites}
    step = hook(plan, model, optimizer, step=function, check=1, on_mismatch="error")
    LateCopies.started = 0
    for _ in range(3):
        step(batch)
    assert (step.planned_steps, LateCopies.started) == (3, 3 * sum(one.copies is not None for one in plan.origins))


def test_a_copy_between_other_places_is_refused(captured: Captured) -> None:
    rewritten = offloaded(untouched(captured.graph), 0)
    graph = rewritten.graph
    place = next(index for index, one in enumerate(rewritten.origins) if one.copies)
    copies = rewritten.origins[place].copies
    assert copies is not None
    storages = list(graph.storages)
    storages[copies[1]] = replace(storages[copies[1]], region="arena")
    with pytest.raises(JudgementError, match=r"op \d+ \(to_host_\d+\) copies from region arena to region arena"):
        check_runs(captured, Rewritten(replace(graph, storages=tuple(storages)), rewritten.origins))


def test_what_was_not_copied_does_not_come_back() -> None:
    graph = by_hand().graph
    with pytest.raises(JudgementError, match=r"op 5 \(op_5\) copies storage 1 back, to which nothing was copied"):
        check_copy(graph, 5, Origin((), copies=(1, 2)), set())


def test_no_cuda_graph_is_made_of_it(captured: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_cuda = replace(captured, where=torch.device("cuda"))
    name, why = choose("cuda_graph", on_cuda, offloads=True)
    assert name == "python"
    assert "moves storages to the host" in why
