"""Whether a call is made each time that a step runs, by its source."""

import sys

import pytest

from roam_lab.capture.always_called import is_always_called

FOUND = []


def note():
    FOUND.append(is_always_called(sys._getframe(1), run.__code__))


def run(step):
    step()


def plain():
    for _ in range(1):
        with open(__file__):
            note()


def deeper():
    plain()


def listed():
    return [note() for _ in range(1)]


def after_a_branch():
    for number in range(3):
        if number:
            continue
    note()


def in_a_branch():
    if FOUND is not None:
        note()


def in_a_branch_of_its_caller():
    if FOUND is not None:
        plain()


def in_an_expression():
    return FOUND is not None and note()


def in_a_loop_that_may_not_run():
    while not FOUND:
        note()


def behind_a_return():
    if FOUND:
        return
    note()


def behind_a_continue():
    for number in range(2):
        if number:
            continue
        note()


@pytest.mark.parametrize("step", [plain, deeper, listed, after_a_branch, lambda: note()])
def test_calls_that_are_always_made(step):
    FOUND.clear()
    run(step)
    assert FOUND == [True]


@pytest.mark.parametrize(
    "step",
    [in_a_branch, in_a_branch_of_its_caller, in_an_expression, in_a_loop_that_may_not_run, behind_a_return,
     behind_a_continue],
)  # fmt: skip
def test_calls_that_may_be_left_out(step):
    FOUND.clear()
    run(step)
    assert FOUND == [False]


def test_without_a_source_or_without_that_caller_a_call_may_be_left_out():
    FOUND.clear()
    names = {"note": note}
    exec("def step(): note()", names)
    run(names["step"])
    plain()
    assert FOUND == [False, False]
