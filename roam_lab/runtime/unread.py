"""Which of several things that have changed a step reads at all: it is captured anew with others in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from roam_lab.capture import TrainingStep
from roam_lab.capture.inputs import batch_leaves, with_leaves
from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.guards import Differing
from roam_lab.capture.sources.probe import Probe, is_touched
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.training_step import roots_of


def unread(
    step: TrainingStep, changed: Sequence[Differing], is_still: Callable[[], bool]
) -> list[Differing]:  # fmt: skip
    """Those of the changed entries on which nothing depends that the step does, whatever they become.

    `is_still`: whether a fresh capture is the very same step. It is asked with None in their place and with a probe,
    which no code takes for None and with which nothing can be done: first for all of them, then for halves.
    """
    if not changed:
        return []
    if all(_stands(step, changed, value, is_still) for value in (None, Probe())):
        return list(changed)
    if len(changed) == 1:
        return []
    half = len(changed) // 2
    return unread(step, changed[:half], is_still) + unread(step, changed[half:], is_still)


def is_leaf_unread(batch: Any, index: int, is_still: Callable[[Any], bool]) -> bool:
    """The same for one leaf of the batch."""
    for value in (None, Probe()):
        leaves = batch_leaves(batch)
        leaves[index] = value
        if not is_still(with_leaves(batch, leaves)) or is_touched(value):
            return False
    return True


def _stands(step: TrainingStep, changed: Sequence[Differing], value: Any, is_still: Callable[[], bool]) -> bool:
    places = [place for one in changed for place in _places(step, one)]
    if not all(any(True for _ in _places(step, one)) for one in changed):
        return False
    try:
        with _put(places, value):
            return is_still() and not is_touched(value)
    except (TypeError, ValueError, AttributeError):  # what cannot stand there: None for a function's code
        return False


def _places(step: TrainingStep, changed: Differing) -> Iterator[tuple[Container, Any]]:
    """Where something has to be put: the entry itself, or wherever a list or set that has grown is held."""
    if not changed.whole:
        yield changed.container, changed.key
        return
    for container in reach(roots_of(step)).containers:
        entries = container.read()
        for key, value in entries.items() if isinstance(entries, dict) else enumerate(entries):
            if value is changed.container.held and not isinstance(entries, set):
                yield container, key


@contextmanager
def _put(places: Sequence[tuple[Container, Any]], value: Any) -> Iterator[None]:
    with ExitStack() as back:
        for container, key in places:
            back.callback(container.put, key, container.entry(key))
            container.put(key, value)
        yield
