"""Checks, before a compiled step runs, that everything it relies on is unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from roam_lab.capture import Captured
from roam_lab.capture.inputs import Input, Optimizers, fixed_settings, read_setting
from roam_lab.capture.sources.carried import carried_form, leaves_given, structure_of
from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.guards import Differing, Guards
from roam_lab.capture.sources.places import OptimizerPlace, ValuePlace
from roam_lab.capture.sources.values import is_plain, same
from roam_lab.capture.trace import Trace
from roam_lab.errors import MismatchError
from roam_lab.runtime.binding import Forms, Residents
from roam_lab.runtime.program import Program
from roam_lab.runtime.step_guards import guarded_path


@dataclass(frozen=True)
class Change:
    """Why a compiled step cannot run as it is. `path`: what changed; `sentence`: what changed, and how.

    `kind`: "resident" (a tensor is gone, or was replaced by one of another form), "setting" (an optimizer's setting
    takes another branch), "way" (a Python number that the step changes itself takes another branch), "batch" (another
    string or number in the batch), "guard" (anything else that the capture relied on).
    """

    kind: Literal["resident", "setting", "way", "batch", "guard"]
    path: str
    sentence: str


class Reliance:
    """Everything that one compiled step relies on. `settings`: the inputs of its program that are numbers."""

    def __init__(
        self, captured: Captured, optimizers: Optimizers, residents: Residents, program: Program, guards: Guards
    ) -> None:
        trace = captured.trace
        self._optimizers, self._residents, self._guards = optimizers, residents, guards
        self._held, self._conditions, self._places = trace.held, trace.guards, trace.places
        self.changing = trace.changing
        self._bound = list(_bound(trace))
        used = {symbol for condition in self._conditions for symbol in condition.free_symbols}
        self._symbols = {symbol: found for symbol, found in trace.symbols.items() if symbol in used}
        self._batch_constants = {index: [value] for index, value in trace.batch_constants.items()}
        self.settings = [found for found in program.arguments if found.kind in ("setting", "python")]
        self._types = {
            Input("python", (index, place.path)): float if isinstance(place.read(), float) else int
            for index, place in enumerate(self._places)
        }
        self._counted = {
            (place.number, place.owner, place.key[0])
            for place in self._places
            if isinstance(place, OptimizerPlace) and isinstance(place.owner, int)
        }
        self._fixed = fixed_settings(optimizers, self._counted)
        self._accepted: tuple[Any, ...] | None = None
        self._forms = Forms(program)

    def change(self, leaves: Sequence[Any]) -> Change | None:
        """The first change that keeps the step from running as captured on a batch with these leaves; None where there
        is none."""
        for module, name, tensor in self._held:
            if vars(module).get(name) is not tensor:
                return Change("resident", name, f"{type(module).__name__}.{name} is another tensor than captured")
        try:
            self._forms.check(self._residents.find())
        except KeyError as error:
            return Change("resident", str(error.args[0]), f"{error.args[0]} is gone")
        except MismatchError as error:
            return Change("resident", str(error), str(error).partition(";")[0])
        for found in self.settings:
            try:
                value = self.number(found)
            except (KeyError, IndexError):
                return Change("resident", str(found), f"{_setting_name(found)} is gone")
            if isinstance(value, torch.Tensor):
                return Change("setting", str(found), f"{_setting_name(found)} is a tensor now, and was a number")
            wanted = self._types.get(found, (int, float))
            if not isinstance(value, wanted) or isinstance(value, bool):  # NumPy's narrow numbers are rounded otherwise
                kind = type(value).__name__
                return Change("setting", str(found), f"{_setting_name(found)} is a {kind} now, and was a number")
        for index, values in self._batch_constants.items():
            if not _known(leaves[index], values):
                return Change("batch", str(index), f"leaf {index} of the batch is {leaves[index]!r}, was {values[0]!r}")
        for place, form_of, form in self._bound:
            if form_of(_present(place)) != form:
                return Change("way", place.path, f"{place.path} has another shape or type than any that was captured")
        setting, counted = self._setting_changed(leaves)
        if setting is not None and counted:
            return Change("way", setting, f"the step takes another way than any that was captured, by {setting}")
        if setting is not None:
            return Change(
                "setting",
                setting,
                f"a setting of the optimizer now takes another branch of its update than in the plan ({setting})",
            )
        sentence = self._guards.check()
        return None if sentence is None else Change("guard", guarded_path(sentence), sentence)

    def differing(self, leaves: list[Any]) -> tuple[Differing, ...]:
        """Every guarded entry that has changed, and every leaf of the batch that is a constant of the step and
        differs."""
        batch = Container("list", leaves, "batch")
        others = [index for index, values in self._batch_constants.items() if not _known(leaves[index], values)]
        return (*self._guards.differing(), *(Differing(batch, index, str(index), whole=False) for index in others))

    def forget(self, path: str) -> None:
        """Ignore changes at this path, and below it, from now on (for a leaf of the batch: its index)."""
        if path.isdigit():
            self._batch_constants.pop(int(path), None)
        else:
            self._guards.forget(path)

    def accept(self, change: Change, leaves: Sequence[Any]) -> None:
        """Accept the present value, which leads to the same step as the one before."""
        if change.kind == "batch":
            self._batch_constants[int(change.path)].append(leaves[int(change.path)])
        else:
            self._guards.renew()

    def _setting_changed(self, leaves: Sequence[Any]) -> tuple[str | None, bool]:
        """The name of a setting that takes another branch of the update (weight decay or not, ...) than when captured,
        or None; and whether it is a number that the step changes itself."""
        fixed = fixed_settings(self._optimizers, self._counted)
        if fixed != self._fixed:
            return _fixed_difference(self._fixed, fixed), False
        now = {symbol: self.number(found, leaves) for symbol, found in self._symbols.items()}
        values = tuple(now.values())
        if values == self._accepted:
            return None, False
        for condition in self._conditions:
            if not bool(condition.subs(now)):
                found = [self._symbols[one] for one in condition.free_symbols if one in self._symbols]
                counted = any(one.kind in ("python", "batch") for one in found)
                return ", ".join(sorted(map(_setting_name, found))) or str(condition), counted
        self._accepted = values
        return None, False

    def number(self, found: Input, leaves: Sequence[Any] = ()) -> Any:
        """The present value of a setting, of a Python number, or of a number in the batch."""
        if found.kind == "batch":
            return leaves[found.path[0]]
        if found.kind == "python":
            return self._places[found.path[0]].read()
        return read_setting(self._optimizers, found.path)

    def numbers(self) -> tuple[Any, ...]:
        """The present settings and Python numbers that are inputs."""
        try:
            return tuple(map(self.number, self.settings))
        except KeyError:
            return ()


def _bound(trace: Trace) -> Iterator[tuple[ValuePlace, Callable[[Any], Any], Any]]:
    """Each place to which the step binds something anew, what of it the step may rely on, and what that is now. Numbers
    are inputs, and plain values by themselves are guarded."""
    places = [(place, carried_form) for place in trace.carried]
    places += [(output.place, structure_of) for output in trace.outputs if output.how == "assign"]
    for place, form_of in places:
        now, form = _present(place), partial(form_of, inputs=leaves_given(place, trace.places))
        if now is None or not is_plain(now):
            yield place, form, form(now)


def _present(place: ValuePlace) -> Any:
    """What stands at a place; None where it is gone."""
    try:
        return place.read()
    except KeyError:
        return None


def _known(leaf: Any, values: Sequence[Any]) -> bool:
    return any(same(leaf, value) for value in values)


def _setting_name(setting: Input) -> str:
    if setting.kind == "batch":
        return f"leaf {setting.path[0]} of the batch"
    return str(setting.path[1]) if setting.kind == "python" else f"{setting.path[2]} of group {setting.path[1]}"


def _fixed_difference(before: tuple[Any, ...], now: tuple[Any, ...]) -> str:
    """The first of `fixed_settings` that differs, by name."""
    if len(before) != len(now):
        return "the number of parameter groups"
    for index, ((count, settings), (count_now, settings_now)) in enumerate(zip(before, now, strict=True)):
        if count != count_now:
            return f"the number of parameters in group {index}"
        for key in sorted(settings.keys() | settings_now.keys()):
            if settings.get(key) != settings_now.get(key) or (key in settings) != (key in settings_now):
                return f"{key} of group {index}"
    return "its groups"
