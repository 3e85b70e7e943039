"""What PyTorch offers without a plan, against steps that really do it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from roam_lab.app.session import profile
from roam_lab.ir import captured_order, live_peak
from roam_lab.ir.roofline import GPUS, roofline_seconds
from roam_lab.plan import Profile
from roam_lab.plan.alternatives import NO_BF16, Alternative, alternatives, updates_early
from roam_lab.plan.autocast import with_autocast
from roam_lab.plan.whole_step import eager_whole_bytes
from roam_lab.rewrite.checkpoint import every_block
from tests.report.graphs import branches
from tests.rewrite.graphs import Writer, blocks


class Layers(torch.nn.Module):
    """Convolutions with norms, then linear layers with a norm between them: what autocast treats in different ways."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = torch.nn.Sequential(
            *(
                part
                for width in (3, 32)
                for part in (torch.nn.Conv2d(width, 32, 3, padding=1), torch.nn.BatchNorm2d(32), torch.nn.ReLU())
            )
        )
        self.rest = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(32 * 32 * 32, 64), torch.nn.GELU(), torch.nn.Linear(64, 4)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        given: torch.Tensor = self.rest(self.maps(images))
        return given


def captured(cast: bool) -> Profile:
    def step(model: Any, optimizer: Any, batch: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    with torch.device("meta"):
        model = Layers()
    batch = (torch.empty(32, 3, 32, 32, device="meta"), torch.empty(32, dtype=torch.long, device="meta"))
    return profile(model, batch, torch.optim.SGD(model.parameters()), step=step, fake=True)


def test_autocast_is_foretold_within_a_tenth_of_what_it_saves() -> None:
    plain, cast = (profile.eager_graph or profile.graph for profile in map(captured, (False, True)))
    foretold = with_autocast(plain)
    assert foretold is not None
    before, after, said = map(eager_whole_bytes, (plain, cast, foretold))
    assert before - after > 10 * 2**20
    assert abs(said - after) < 0.1 * (before - after)
    faster, slower = (roofline_seconds(one, GPUS["a100"]) for one in (foretold, plain))
    assert faster is not None
    assert slower is not None
    assert faster < slower


def test_updates_run_early_and_free_their_gradients() -> None:
    graph = captured(False).graph
    early = updates_early(graph)
    assert early is not None
    assert sorted(op.name for op in early.ops) == sorted(op.name for op in graph.ops)
    first = min(index for index, op in enumerate(early.ops) if op.phase == "update")
    assert any(op.phase == "backward" for op in early.ops[first:])
    assert live_peak(early, captured_order(early)).bytes <= live_peak(graph, captured_order(graph)).bytes
    assert all(storage.kind != "gradient" for storage in early.storages)
    assert updates_early(branches()) is None


def test_each_way_says_what_it_saves_and_how_that_is_known() -> None:
    found = {way.name: way for way in alternatives(captured(False).graph)}
    assert set(found) == {"optimizer in backward", "every block checkpointed", "bf16 autocast"}
    assert found["bf16 autocast"].saved_bytes > 0
    assert not found["bf16 autocast"].same_bits
    assert "estimated" in found["bf16 autocast"].how
    blocked = {way.name: way for way in alternatives(blocks(6))}
    assert blocked["every block checkpointed"].extra_time
    assert blocked["every block checkpointed"].same_bits
    assert alternatives(branches()) == ()  # a roam-graph/1 tells too little


def test_every_field_of_each_way_is_that_of_the_graph_that_it_makes() -> None:
    graph = captured(False).graph
    eager = eager_whole_bytes(graph)
    early, cast = updates_early(graph), with_autocast(graph)
    assert early is not None
    assert cast is not None
    for way, made, same_bits, extra_time, how in zip(
        (one for one in alternatives(graph) if one.name != "every block checkpointed"),
        (early, cast),
        (True, False),
        (0.0, None),
        ("the captured ops, each update as soon as ", "estimated: each tensor of 32 bits that autocast "),
        strict=True,
    ):
        assert way.saved_bytes == eager - eager_whole_bytes(made)
        assert (way.same_bits, way.extra_time) == (same_bits, extra_time)
        assert way.how.startswith(how)
        without = NO_BF16 if way.name == "bf16 autocast" else ()
        assert way.seconds == {key: roofline_seconds(made, gpu) for key, gpu in GPUS.items() if key not in without}
    graph = blocks(3)
    blocked = every_block(graph)
    assert blocked is not None
    assert alternatives(graph) == (
        Alternative(
            "every block checkpointed",
            eager_whole_bytes(graph) - eager_whole_bytes(blocked.rewritten().graph),
            blocked.extra_time,
            {},  # its ops have no flops
            True,
            "the captured ops, those inside each repeated block run again before its backward pass",
        ),
    )


def test_updates_run_as_soon_as_they_can_in_their_own_sequence() -> None:
    write = Writer()
    first, second, third = (write.storage(8, kind="gradient") for _ in range(3))
    weight, scaled = write.storage(8, region="resident", kind="parameter"), write.storage(8, kind="temporary")
    write.op((first,), phase="backward")
    write.op((second,), phase="backward")
    write.op((third,), phase="backward")
    write.op((scaled,), (first,), phase="update")
    write.op((), (scaled,), (weight,), phase="update")
    write.op((), (second,), phase="update")
    write.op((), (first,), phase="update")
    write.op((), phase="update")
    graph = write.graph()
    early = updates_early(graph)
    assert early is not None
    assert [op.name for op in early.ops] == [f"op_{number}" for number in (0, 3, 4, 6, 1, 5, 2, 7)]
    assert [op.after for op in early.ops] == [(), (0,), (1,), (0,), (), (4,), (), ()]
    assert [one.kind for one in early.storages] == [None, None, None, "parameter", "temporary"]
    assert updates_early(early) is None  # nothing is left to do
    write.op((), (weight,), phase="backward")
    waiting = write.graph()
    assert updates_early(waiting) is not None
    last = replace(waiting.ops[-1], after=(7,))  # the backward pass goes on after an update that waits for nothing
    assert updates_early(replace(waiting, ops=(*waiting.ops[:-1], last))) is None
