"""A snapshot of all Python objects that a step reaches: what has changed since, and how it is put back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch

from roam_lab.capture.sources.containers import MISSING, Container, Entries
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.sources.stateful import Stateful
from roam_lab.capture.sources.values import is_number, same
from roam_lab.capture.torch_internals import FakeTensor, without_modes, without_overrides
from roam_lab.errors import CaptureError
from roam_lab.interrupt import held

ChangeKind = Literal["number", "rebinding", "grown", "shrunk", "object", "random", "iterator"]


@dataclass(frozen=True, eq=False)
class Change:
    """One entry, attribute, variable or object that has changed.

    `kind`: "number" (a number, truth value, string or None became another), "rebinding" (another tensor is bound, or a
    tensor was given other memory), "grown" and "shrunk" (an entry or attribute was added or removed), "object" (another
    object is bound, an array has other contents, a dict another order), "random" (a generator of random numbers has
    moved), "iterator" (one has moved). `before` and `after`: MISSING where there was, or is, nothing. `container`: the
    dict, list, ... that holds it, or the object itself; `key`: its key, index or name there.
    """

    path: str
    kind: ChangeKind
    before: Any
    after: Any
    container: Any
    key: Any
    container_path: str = ""


class PythonState:
    """A shallow copy of every container that a step reaches, and the state of generators, iterators and arrays.

    `cannot_restore`: paths of objects that `restore` cannot put back (Python generators, data loaders' iterators, zip,
    map, open files, hashes, context variables without a value, NumPy arrays above 1 MiB). The contents of tensors are
    not copied; only which memory they have.
    """

    def __init__(self, reachable: Reachable) -> None:
        self._saved: list[tuple[Container, Entries]] = [(one, one.read()) for one in reachable.containers]
        self._was = {id(container.held): entries for container, entries in self._saved}
        self._stateful = [Stateful(path, value) for path, value in reachable.stateful]
        self._memory = [(path, one, alias) for path, one in reachable.tensors if (alias := _alias(one)) is not None]
        self._unset = [one for one, entries in self._saved if one.kind == "variable" and not entries]
        self.cannot_restore = tuple(one.path for one in self._stateful if not one.restorable)
        self.cannot_restore += tuple(one.path for one in self._unset)

    def check_trial(self) -> None:
        """Raise CaptureError where a trial run, which a trace is, too, might take from an iterator, a generator or a
        file for good."""
        _refuse([*(one.path for one in self._stateful if one.used_up), *(one.path for one in self._unset)])

    def check_unused(self) -> None:
        """Raise CaptureError where a step that has run since took from such an object, or may have."""
        used = [one.path for one in self._stateful if one.used_up and one.used]
        _refuse([*used, *(one.path for one in self._unset if one.read())])

    def was(self, held: Any) -> Any:
        """The entries of a container at the moment of the snapshot; `held` itself where it is no container."""
        return self._was.get(id(held), held)

    def changes(self) -> tuple[Change, ...]:
        """Everything that differs now, in the order of the walk. Values that are equal bit for bit do not differ."""
        found: list[Change] = []
        for container, before in self._saved:
            after = container.read()
            if not _identical(before, after):
                found += _differences(container, before, after)
        found = self._without_equal_dicts(found)
        for one in self._stateful:
            if one.changed():
                found.append(Change(one.path, one.kind, one.before, one.now(), one.value, None))
        for path, tensor, alias in self._other_memory():
            found.append(Change(f"{path}.data", "rebinding", alias, tensor.detach(), tensor, "data"))
        return tuple(found)

    def _other_memory(self) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
        with without_overrides(), without_modes():  # these are real tensors, and a trace must not see this
            return [one for one in self._memory if not _same_memory(one[1], one[2])]

    def _without_equal_dicts(self, changes: list[Change]) -> list[Change]:
        """`changes` without those of a dict that was filled and then replaced by one equal to it before
        (GradScaler)."""
        entries = {id(container.held): before for container, before in self._saved if isinstance(container.held, dict)}
        left = {
            id(one.before)
            for one in changes
            if one.kind == "object" and id(one.before) in entries and type(one.after) is type(one.before)
            if getattr(one.before, "default_factory", None) is getattr(one.after, "default_factory", None)
            if same(dict(entries[id(one.before)]), dict(one.after))
        }
        return [one for one in changes if id(one.before) not in left and id(one.container) not in left]

    def restore(self) -> None:
        """Put everything back, in place: containers, generators, tensors' memory. May be called more than once.

        An interrupt waits until that is done. Raises CaptureError, after everything else was put back, where an
        object would not take its state back.
        """
        with held():
            failures: list[str] = []
            for path, restore in self._restorers():
                try:
                    restore()
                except Exception as error:
                    failures.append(f"{path} ({type(error).__name__}: {error})")
            if failures:
                raise CaptureError(f"what the step changed could not be put back: {'; '.join(failures[:3])}")

    def _restorers(self) -> Iterator[tuple[str, Any]]:
        for one in self._stateful:
            yield one.path, lambda one=one: self._restore_stateful(one)
        for container, before in self._saved:
            if not _identical(before, container.read()):
                yield container.path, lambda container=container, before=before: container.write(before)
        for path, tensor, alias in self._other_memory():
            yield path, lambda tensor=tensor, alias=alias: setattr(tensor, "data", alias)

    def _restore_stateful(self, one: Stateful) -> None:
        old = one.value
        fresh = one.restore()
        if fresh is not old:
            for _, before in self._saved:
                _substitute(before, old, fresh)


def _refuse(paths: list[str]) -> None:
    if paths:
        raise CaptureError(not_put_back(paths[0]))


def not_put_back(path: str) -> str:
    """A sentence on a step that reaches an object which a trial run would leave changed."""
    return (
        f"the step reaches {path}, which could not be put back after a trial run (an iterator, a generator, an open "
        "file, a hash, a context variable without a value); use it outside the step, and pass what it gives in the "
        "batch"
    )


def _substitute(entries: Entries, old: Any, fresh: Any) -> None:
    if isinstance(entries, set):
        if old in entries:
            entries.remove(old)
            entries.add(fresh)
        return
    for key, value in list(entries.items()) if isinstance(entries, dict) else list(enumerate(entries)):
        if value is old:
            entries[key] = fresh


def _alias(tensor: torch.Tensor) -> torch.Tensor | None:
    """Another tensor object in the same memory; None for tensors that have none (meta, fake, ...)."""
    if isinstance(tensor, FakeTensor) or type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        return None
    if tensor.is_nested or tensor.is_quantized or tensor.layout != torch.strided or tensor.device.type == "meta":
        return None
    return tensor.detach()


def _same_memory(tensor: torch.Tensor, alias: torch.Tensor) -> bool:
    return tensor.dtype == alias.dtype and tensor.device == alias.device and tensor.is_set_to(alias)


def _identical(before: Entries, after: Entries) -> bool:
    """Whether both have the very same objects under the same keys, in the same order."""
    if len(before) != len(after):
        return False
    if isinstance(before, dict) and isinstance(after, dict):
        return all(
            (key is other or same(key, other)) and value is item
            for (key, value), (other, item) in zip(before.items(), after.items(), strict=True)
        )
    if isinstance(before, set):
        return {id(one) for one in before} == {id(one) for one in after}
    return all(one is other for one, other in zip(before, after, strict=True))


def _differences(container: Container, before: Entries, after: Entries) -> list[Change]:
    def change(kind: ChangeKind, old: Any, new: Any, key: Any) -> Change:
        return Change(container.place(key), kind, old, new, container.held, key, container.path)

    if isinstance(before, set) and isinstance(after, set):
        lost, won = before - after, after - before
        return [change("shrunk", one, MISSING, one) for one in lost] + [
            change("grown", MISSING, one, one) for one in won
        ]
    if isinstance(before, list) and isinstance(after, list):
        if _moved_or_replaced(before, after):
            return [Change(container.path, "object", before, after, container.held, None, container.path)]
        return _list_differences(before, after, change, moves=container.kind == "deque")
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    found = []
    for key, old in before.items():
        if key not in after:
            found.append(change("shrunk", old, MISSING, key))
        elif not same(old, after[key]):
            found.append(change(_kind(old, after[key]), old, after[key], key))
    found += [change("grown", MISSING, new, key) for key, new in after.items() if key not in before]
    if not found and container.kind == "dict" and list(before) != list(after):
        found.append(Change(container.path, "object", list(before), list(after), container.held, None, container.path))
    return found


def _list_differences(before: list[Any], after: list[Any], change: Any, moves: bool) -> list[Change]:
    """The changes of a list: position by position, or as entries removed at the front and added at the end, whichever
    are fewer."""
    pairs = enumerate(zip(before, after, strict=False))
    found = [change(_kind(old, new), old, new, index) for index, (old, new) in pairs if not same(old, new)]
    found += [change("shrunk", before[index], MISSING, index) for index in range(len(after), len(before))]
    found += [change("grown", MISSING, after[index], index) for index in range(len(before), len(after))]
    for dropped in range(1, min(len(found), len(before))):
        kept = len(before) - dropped
        added = len(after) - kept
        if added >= 0 and dropped + added < len(found) + moves and all(map(same, before[dropped:], after)):
            return [change("shrunk", before[index], MISSING, index) for index in range(dropped)] + [
                change("grown", MISSING, after[index], index) for index in range(kept, len(after))
            ]
    return found


def _moved_or_replaced(before: list[Any], after: list[Any]) -> bool:
    """Whether it cannot be told if a new tensor at the end pushed out the first entry (a deque with maxlen) or replaced
    the last one: all other entries are the same, and equal to each other."""
    if len(before) != len(after) or len(before) < 2 or not isinstance(after[-1], torch.Tensor):
        return False
    if same(before[-1], after[-1]):
        return False
    return all(map(same, before[:-1], after)) and all(map(same, before[1:], after[:-1]))


def _kind(before: Any, after: Any) -> ChangeKind:
    if isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor):
        return "rebinding"
    return "number" if is_number(before) and is_number(after) else "object"
