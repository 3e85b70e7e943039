"""What a planned step takes from the caching allocator is what its plan says, op by op, to the byte."""

import sys

import pytest
import torch

from roam_lab.ir import lifetimes
from roam_lab.runtime import step_compiler
from tests.fake_cuda.training import Training


def rounded(size):
    """As the caching allocator rounds."""
    return -(-size // 512) * 512


@pytest.fixture
def made(monkeypatch):
    """(graph as it is run, compiled step) of all that is compiled."""
    found, compiled = [], step_compiler.Compiled

    def noted(captured, *rest):
        step = compiled(captured, *rest)
        found.append((captured.graph if step.rewritten is None else step.rewritten.graph, step))
        return step

    monkeypatch.setattr(step_compiler, "Compiled", noted)
    return found


def allocated_before_ops(program, run):
    """Position in the order -> bytes allocated on the device before that op, above those before the first."""
    found = []

    def line(frame, event, _):
        if event == "line":
            found.append((frame.f_lineno, torch.cuda.memory_allocated()))
        return line

    sys.settrace(lambda frame, *_: line if frame.f_code.co_filename == program.filename else None)
    try:
        run()
    finally:
        sys.settrace(None)
    first = {}
    for number, size in found:
        if number in program.op_of_line:
            first.setdefault(program.op_of_line[number], size - found[0][1])
    return first


@pytest.mark.parametrize("name", ["tiny", "tiny_checkpointed", "gpt2", "vit", "resnet", "unet"])
def test_op_by_op(made, name):
    training = Training(name)
    training.eager()
    training.optimizer.zero_grad()
    hooked = training.hooked()
    for _ in range(2):
        hooked(training.batch)
    graph, compiled = made[-1]
    found = allocated_before_ops(compiled.program, lambda: hooked(training.batch))
    assert len(found) > len({op.target for op in graph.ops})
    outside = [
        life
        for life in lifetimes(graph, compiled.order)
        if graph.storages[life.storage].external and graph.storages[life.storage].kind != "workspace"
    ]
    for step, index in enumerate(compiled.order):
        if index not in found:  # a part that runs with the one before, or an op that runs nothing
            continue
        planned = sum(rounded(life.bytes) for life in outside if life.start < step < life.end)
        assert found[index] == planned, f"before {graph.ops[index].name}, op {step} of the order"


def test_what_lies_on_the_host_is_not_planned_for_the_device(made):
    """Foreach AdamW makes tensors of numbers on the host, and counts its steps there."""
    training = Training("tiny", lambda params: torch.optim.AdamW(params, foreach=True))
    training.hooked()(training.batch)
    graph, _ = made[-1]
    elsewhere = [storage for storage in graph.storages if storage.kind == "elsewhere"]
    assert elsewhere
    assert all(storage.external and storage.bytes == 0 for storage in elsewhere)
