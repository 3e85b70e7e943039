"""Checkpointing by blocks: which groups of blocks are tried, and what a user gets from PyTorch's own."""

import pytest

from roam_lab.rewrite import checkpoint as module
from roam_lab.rewrite.points import Goals
from tests.rewrite.graphs import blocks, judged, random_step


@pytest.mark.parametrize(("count", "lengths"), [(3, [1, 2]), (4, [1, 2]), (9, [1, 2, 3]), (16, [1, 2, 4])])
def test_every_block_pairs_and_segments_of_about_the_square_root_are_tried(count, lengths, monkeypatch):
    tried, real = [], module._segments

    def keep(explorer, level, length, every):
        tried.append((length, every))
        return real(explorer, level, length, every)

    monkeypatch.setattr(module, "_segments", keep)
    module.checkpoint(blocks(count), Goals())
    assert tried == [*((length, 1) for length in lengths), (1, 2)]


def test_every_block_is_made_again_but_the_last_ones_inputs_stay():
    graph = blocks(4)
    point = module.every_block(graph)
    assert point is not None
    rewritten = point.rewritten()
    assert judged(graph, rewritten)[0] == point.peak_bytes
    assert rewritten.recomputed > 0
    assert (point.peak_bytes, point.strategy) == (800, "checkpoint")
    assert point.extra_time == pytest.approx(80 / 262)  # the four products are made again
    assert module.every_block(random_step(3)) is None  # it has no blocks
    assert module.every_block(blocks(4), kinds=()) is None  # nothing may be made again
