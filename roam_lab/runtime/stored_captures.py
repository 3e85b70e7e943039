"""Captures of one hook that are kept for the next start of the script, and those of an earlier start that are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from roam_lab.capture import Captured, TrainingStep, step_device
from roam_lab.capture.captured import captured_of
from roam_lab.capture.finished import compare_with_log
from roam_lab.capture.gradients import how_it_lies
from roam_lab.capture.guide import compared_ops
from roam_lab.capture.inputs import batch_signature, model_digest
from roam_lab.capture.nodes import storage_key, tensors_of
from roam_lab.capture.outcome import other_outcome
from roam_lab.capture.rehearsal import rehearse
from roam_lab.capture.sources.guards import global_hooks
from roam_lab.capture.sources.reachable import Reachable, reach
from roam_lab.capture.sources.world import muted, trial, variables_guarded
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.captures import CaptureFolder, Entry, Kept, entry_data, throw_away
from roam_lab.capture.stored.code import Entered
from roam_lab.capture.stored.key import key_of_capture
from roam_lab.capture.stored.op_log import log_from_data, log_to_data
from roam_lab.capture.stored.picture import Picture, first_difference, left_out_by, picture_of
from roam_lab.capture.stored.trace import trace_from_data, trace_to_data
from roam_lab.capture.trace import Trace, refuse_at_sight
from roam_lab.capture.training_step import roots_of
from roam_lab.errors import PartedError, RoamError
from roam_lab.ir import fingerprint
from roam_lab.ir.op_log import OpLog
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.self_check import Expected, Observed
from roam_lab.runtime.step_guards import left_out_of

_DAMAGED = (
    RoamError, ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What reading data of another form, or holding it against the step, may raise."""


class StoredCaptures:
    """`folder`: None where nothing is kept. `notes` hears what is to be said of them, each sentence once."""

    def __init__(self, folder: Path | None, notes: list[str]) -> None:
        self._notes = notes
        self._folder = None if folder is None else CaptureFolder(folder, self._tell)
        self._unproven: dict[Any, dict[str, Any]] = {}
        self._paths: dict[Any, Path] = {}
        self._loaded: set[Any] = set()
        self._kept: dict[Any, Mapping[str, Any]] = {}  # way -> what has passed of the capture that is on disk

    def _tell(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def find(self, training: TrainingStep, batch: Any, way: int) -> Kept | None:
        """What was kept of a step, before it has run; None where nothing is kept."""
        if self._folder is None:
            return None
        key = key_of_capture(training, batch, way)
        return Kept(self._folder.path(key), self._folder.find(key))

    def rehearsed(self, kept: Kept, training: TrainingStep, batch: Any, check: Callable[[], None]) -> Observed:
        """What the step runs now, from a rehearsal of the eager step that led the capture which was kept. Raises
        NotStoredError where it is another step, has another outcome, or cannot be rehearsed. `check`: see `rehearse`.
        """
        assert kept.entry is not None
        if not kept.entry.passed:
            raise NotStoredError("no planned step of it has passed")
        code = Entered()
        try:
            log = log_from_data(kept.entry.log)
            with trial(), muted():
                seen = rehearse(training, batch, log, code, check)
        except RoamError as error:
            raise NotStoredError(_first_line(error)) from None
        except Exception as error:  # whatever a step raises on fakes
            why = f"{type(error).__name__}: {_first_line(error)}" if str(error).strip() else type(error).__name__
            raise NotStoredError(f"on tensors without data it raises {why}") from None
        if (other := other_outcome(kept.entry.outcome, seen.outcome)) is not None:
            raise NotStoredError(f"it has another outcome ({other})")
        return Observed(seen.log, code, seen.serials, seen.literals, seen.outcome)

    def not_rehearsed(self, why: Exception) -> None:
        """A capture that was kept is used, but after an eager step; a remark says why."""
        self._tell(f"a capture in the cache is used after an eager step, since no rehearsal showed it right: {why}")

    def captured(self, kept: Kept, training: TrainingStep, batch: Any, observed: Observed) -> Captured:
        """The capture that was kept, held against the step that was just run, or rehearsed. Raises NotStoredError where
        it is not that of this step, and throws it away where it is damaged."""
        assert kept.entry is not None
        try:
            return _captured(kept.entry, training, batch, observed)
        except NotStoredError as error:
            raise NotStoredError(f"a capture in the cache is not used: {error}") from None
        except _DAMAGED as error:
            throw_away(kept.path)
            why = _first_line(error) if isinstance(error, RoamError) else "it is damaged, or that of another step"
            raise NotStoredError(f"a capture in the cache is not used: {why}") from None

    def not_used(self, kept: Kept | None, error: NotStoredError) -> Kept | None:
        """The same place, as if nothing were there; a remark says why."""
        self._tell(str(error))
        return None if kept is None else Kept(kept.path, None)

    def note(self, way: Any, kept: Kept, training: TrainingStep, captured: Captured, expected: Expected) -> None:
        """A capture that was just made, to be kept once it has passed. A remark says why it is not."""
        self._loaded.discard(way)
        self._kept.pop(way, None)
        try:
            self._unproven[way] = _entry(training, captured, expected)
            self._paths[way] = kept.path
        except NotStoredError as error:
            self._tell(f"the capture is not kept for the next start: {error}")

    def loaded(self, way: Any, kept: Kept) -> None:
        """A capture of an earlier start stands for this way."""
        assert kept.entry is not None
        self._paths[way] = kept.path
        self._loaded.add(way)
        self._kept[way] = dict(kept.entry.passed)

    def take_proof(self, way: Any, compiled: Compiled) -> None:
        """Tell a compiled step, whose capture was loaded, what an earlier start has compared by the same plan, on the
        same machine."""
        with suppress(*_DAMAGED):
            compiled.proof.take(self._kept[way][compiled.place_of_proof()])

    def unread(self, way: Any, path: str) -> None:
        """The step of this way does not read what is under a path: the next start need not find that out."""
        if way in self._unproven:
            self._unproven[way].setdefault("unread", []).append(path)
        elif way in self._paths and self._folder is not None:
            self._folder.note_unread(self._paths[way], path)

    def passed(self, way: Any, compiled: Compiled) -> None:
        """A planned step of this way was the eager one, bit by bit. It is kept once as many were as are asked for."""
        if not compiled.proven or self._folder is None or not (way in self._unproven or way in self._kept):
            return
        with suppress(NotStoredError):
            place, proof = compiled.place_of_proof(), compiled.proof.to_data()
            if way in self._unproven:
                self._folder.keep(self._paths[way], {**self._unproven.pop(way), "passed": {place: proof}})
                self._kept[way] = {place: proof}
            elif self._kept[way].get(place) != proof:
                self._folder.note_passed(self._paths[way], place, proof)
                self._kept[way] = {**self._kept[way], place: proof}

    def failed(self, way: Any) -> bool:
        """A planned step of this way was not the eager one: its capture is thrown away. Whether it was of an earlier
        start, so that one that is made anew may be right."""
        self._unproven.pop(way, None)
        path = self._paths.pop(way, None)
        if path is not None:
            throw_away(path)
        self._kept.pop(way, None)
        if way not in self._loaded:
            return False
        self._loaded.discard(way)
        self._tell("a capture in the cache was not the eager step, bit for bit, and was thrown away")
        return True


def _entry(training: TrainingStep, captured: Captured, expected: Expected) -> dict[str, Any]:
    observed = expected.observed
    if not observed.code.complete:
        raise NotStoredError("a profiler is on, so that it is not known what code runs")
    reachable = reach(roots_of(training))
    picture = _picture(reachable, captured.trace)
    trace = trace_to_data(captured.trace, training, reachable)
    try:
        _hold_against(captured.trace, observed)
    except PartedError:
        raise NotStoredError("its graph could not be held against an eager step again") from None
    log = log_to_data(OpLog(tuple(compared_ops(observed.log))))
    graph, code = fingerprint(captured.graph), observed.code.digests()
    return entry_data(trace, graph, picture, code, log, observed.literals, observed.outcome)


def _picture(reachable: Reachable, trace: Trace) -> Picture:
    beside = variables_guarded(trace.variables)
    containers = [*reachable.containers, *reachable.code, *global_hooks(), *beside]
    return picture_of(reachable, containers, left_out_of(reachable, trace))


def _captured(entry: Entry, training: TrainingStep, batch: Any, observed: Observed) -> Captured:
    if not observed.code.complete:
        raise NotStoredError("a profiler is on, so that it is not known what code runs")
    for digest, name in observed.code.digests().items():
        if digest not in entry.code:
            raise NotStoredError(f"the step runs {name} now, which it did not when that was made")
    if observed.literals != entry.literals:
        raise NotStoredError("the step makes a tensor of other numbers than when that was made")
    refuse_at_sight(training)
    reachable = reach(roots_of(training))
    trace = trace_from_data(entry.trace, training, batch, reachable)
    trace = replace(trace, changed=trace.changed | set(entry.unread))
    is_out = left_out_by(entry.unread)
    holders = {path[: max(path.rfind("."), path.rfind("["))] for path in entry.unread}  # which list all that they hold
    pictures = [
        {path: digest for path, digest in picture.items() if not is_out(path) and path not in holders}
        for picture in (entry.picture, _picture(reachable, trace))
    ]
    other = first_difference(*pictures)
    if other is not None:
        raise NotStoredError(f"{other or 'a variable of the step'} is not what it was")
    _hold_gradients(training, trace)
    _hold_against(trace, observed)
    where, model = step_device(training.model), training.model
    signature = batch_signature(batch, where.type)
    captured = captured_of(trace, type(model).__name__, signature, model_digest(model), where)
    if fingerprint(captured.graph) != entry.graph_sha256:
        raise NotStoredError("its graph is another than it was")
    return captured


def _hold_against(trace: Trace, observed: Observed) -> None:
    """Raises PartedError where the graph is not what the eager step ran, on the tensors that it ran on: two of one form
    may hold the same while training begins."""
    checked = {node for condition in trace.conditions for node in condition.nodes}
    storages = compare_with_log(trace.module, observed.log, checked, trace.skipped, trace.loose)
    placeholders = [node for node in trace.module.graph.nodes if node.op == "placeholder"]
    for node, found in zip(placeholders, trace.inputs, strict=True):
        for tensor in tensors_of(node):
            serial = storages.serial(storage_key(tensor))
            if serial is not None and serial != observed.serials.get(found):
                raise PartedError(f"the eager step reads another tensor than {found}")


def _hold_gradients(training: TrainingStep, trace: Trace) -> None:
    there = {name: one.grad for name, one in training.parameters.items() if one.grad is not None}
    found = {name: how_it_lies(one) for name, one in there.items() if name not in trace.cleared}
    if found != dict(trace.begun):
        raise NotStoredError("the step begins with other gradients")


def _first_line(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text.partition(";")[0].partition(", so the plan")[0][:200]
