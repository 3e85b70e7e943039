"""The op log says what ran, on what, where it lay, and what came of it."""

import weakref

import pytest
import torch
from torch import nn

from roam_lab.capture import TrainingStep, as_step
from roam_lab.ir.op_log import LoggedTensor
from roam_lab.measure.eager import record
from roam_lab.measure.op_recorder import OpRecorder, name_of, plain


def logged(run, *resident):
    with OpRecorder(resident) as recorder:
        run()
    return recorder.log.ops


def test_an_op_is_written_down_whole():
    x, y = torch.ones(2, 3), torch.ones(3)
    (add,) = logged(lambda: torch.add(x, y, alpha=2))
    assert add.target == "aten.add.Tensor"
    assert add.arguments == (
        LoggedTensor((2, 3), (3, 1), "float32", "cpu", 0, 24, 0),
        LoggedTensor((3,), (1,), "float32", "cpu", 1, 12, 0),
    )
    assert add.constants == (2,)
    assert add.results == (LoggedTensor((2, 3), (3, 1), "float32", "cpu", 2, 24, 0),)
    assert (add.answer, add.accumulated) == (None, False)
    assert add.source.startswith("tests/measure/test_op_recorder.py:")
    assert add.results[0].text() == "float32[2, 3]"


def test_storages_are_told_apart_and_views_are_not():
    x = torch.zeros(4, 4)
    view, added, copied = logged(lambda: (x[1:, 1:], x.add_(1), x.clone()))[-3:]
    (result,) = view.results
    assert (result.storage, result.shape, result.stride, result.offset) == (0, (3, 3), (4, 1), 5)
    assert added.arguments[0].storage == added.results[0].storage == 0
    assert copied.results[0].storage != 0


def test_a_storage_at_the_address_of_one_that_is_gone_is_another():
    def run():
        for _ in range(20):
            torch.zeros(1 << 16)

    numbers = [op.results[0].storage for op in logged(run)]
    assert len(set(numbers)) == len(numbers) == 20


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (torch.tensor(2.5), 2.5),
        (torch.tensor(3), 3),
        (torch.tensor(True), True),
        (torch.tensor(float("inf")), float("inf")),
    ],
)
def test_numbers_that_are_read_are_answers(value, answer):
    (read,) = logged(value.item)
    assert read.target == "aten._local_scalar_dense.default"
    assert read.answer == answer
    assert type(read.answer) is type(answer)
    assert read.results == ()


def test_tensors_in_lists_and_several_results():
    x = torch.arange(6.0)
    cat, split = logged(lambda: (torch.cat([x, x * 1]), x.split(2)))[-2:]
    assert [one.storage for one in cat.arguments] == [0, cat.arguments[1].storage]
    assert [one.offset for one in split.results] == [0, 2, 4]
    assert {one.storage for one in split.results} == {0}


def test_sparse_tensors_have_no_storage():
    i = torch.tensor([[0, 1]])
    found = logged(lambda: torch.sparse_coo_tensor(i, torch.ones(2), (3,), check_invariants=True))
    sparse = [one for op in found for one in op.results if one.shape == (3,)]
    assert sparse
    assert {one.storage for one in sparse} == {-1}


def test_the_engines_sums_in_place_are_marked():
    """A second gradient of one tensor is added in place by eager; the traced graph has an addition there."""
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss(model, batch):
        y = model(batch)
        return (y.sin() + y.cos()).sum()

    step = as_step(loss)
    log = record(TrainingStep(model, optimizer, step), torch.randn(3, 4)).log
    marked = [op for op in log.ops if op.accumulated]
    assert marked
    assert {op.target for op in marked} == {"aten.add.Tensor"}
    assert all(op.results[0].storage == op.arguments[0].storage for op in marked)


def test_one_and_the_same_step_has_one_and_the_same_log():
    def log():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
        optimizer = torch.optim.AdamW(model.parameters())
        step = as_step(lambda model, batch: model(batch).pow(2).mean())
        return record(TrainingStep(model, optimizer, step), torch.randn(3, 4)).log

    first, second = log(), log()
    assert len(first.ops) > 20
    assert first == second


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, None),
        (True, True),
        (2, 2),
        (0.5, 0.5),
        (1j, 1j),
        ("mean", "mean"),
        (torch.float16, "float16"),
        (torch.device("cpu"), "cpu"),
        (torch.strided, "torch.strided"),
        (torch.channels_last, "torch.channels_last"),
        (torch.Generator(), "Generator"),
    ],
)
def test_other_arguments_as_plain_values(value, message):
    assert plain(value) == message
    assert type(plain(value)) is type(message)


def test_types_by_their_own_names():
    assert name_of(torch.bfloat16) == "bfloat16"


def test_nothing_is_kept_of_a_recording_that_is_over():
    kept = torch.ones(3)  # as parameters live on
    recorder = OpRecorder([kept])
    with recorder:
        made = kept + 1
    assert len(recorder.log.ops) == 1
    alone = weakref.ref(recorder)
    del recorder
    assert alone() is None
    assert made.sum() == 6
