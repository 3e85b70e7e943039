"""The arena and views of it."""

import pytest
import torch

from roam_lab.errors import RoamError
from roam_lab.ir import Graph, Op, Storage
from roam_lab.plan import make_plan
from roam_lab.plan.beside import top_of
from roam_lab.runtime.arena import HUGE_PAGE, Form, allocate, view_at

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [0, 1, 4096, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 5 * HUGE_PAGE + 64])
def test_of_the_very_size_and_aligned(size):
    arena = allocate(size, CPU)
    assert (arena.numel(), arena.dtype) == (size, torch.uint8)
    if size:
        arena.fill_(7)
        assert int(arena[-1]) == 7
    if size >= HUGE_PAGE:
        assert arena.data_ptr() % HUGE_PAGE == 0


@pytest.mark.parametrize("size", [2**60, 2**46])
def test_what_does_not_fit(size):
    with pytest.raises(
        RoamError, match=rf"the arena of {size} bytes does not fit on cpu, where .* this process holds .* \(.*\); free"
    ) as caught:
        allocate(size, CPU)
    assert "\n" not in str(caught.value)


LIKES = [
    torch.empty(3, 4),
    torch.empty(3, 4).T,
    torch.empty(10)[3:7],
    torch.empty(6, 5)[1::2, 1:3],
    torch.empty(4, 1).expand(4, 3),
    torch.empty(()),
    torch.empty(0, 3),
    torch.empty(5, dtype=torch.complex64),
    torch.empty(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
    torch.empty(7, dtype=torch.bool),
]


@pytest.mark.parametrize("like", LIKES, ids=lambda like: f"{tuple(like.shape)}{like.stride()}")
def test_views_are_like_the_tensor_and_lie_where_they_should(like):
    arena = allocate(1024, CPU)[64:]
    view = view_at(arena.untyped_storage(), arena.storage_offset() + 128, Form.of(like))
    assert (view.shape, view.stride(), view.dtype) == (like.shape, like.stride(), like.dtype)
    if view.numel():
        assert view.data_ptr() == arena.data_ptr() + 128 + like.storage_offset() * like.element_size()
    assert not view.requires_grad


def test_conjugate_and_negative_views():
    """torch keeps both as a bit on the view; the memory holds the plain number."""
    arena = allocate(64, CPU)
    number = view_at(arena.untyped_storage(), 0, Form.of(torch.empty(2, dtype=torch.complex64)))
    number.copy_(torch.tensor([1 + 2j, 3 - 4j]))
    like = torch.empty(2, dtype=torch.complex64)
    assert torch.equal(view_at(arena.untyped_storage(), 0, Form.of(like.conj())), torch.tensor([1 - 2j, 3 + 4j]))
    imaginary = view_at(arena.untyped_storage(), 0, Form.of(like.conj().imag))
    assert like.conj().imag.is_neg()
    assert torch.equal(imaginary, torch.tensor([-2.0, 4.0]))


def test_the_arena_ends_where_nothing_more_is_placed_in_it():
    graph = Graph(
        "three",
        (Storage(100), Storage(1000, region="op"), Storage(0)),
        (Op("a", "t", creates=(0,)), Op("b", "t", after=(0,), creates=(1, 2), reads=(0,))),
    )
    plan = make_plan(graph)
    assert top_of(graph, plan.offsets) == plan.offsets[0] + 100
    assert plan.arena_bytes >= 1100
    nothing = Graph("none", (Storage(8, region="op"),), (Op("a", "t", creates=(0,)),))
    assert top_of(nothing, make_plan(nothing).offsets) == 0
