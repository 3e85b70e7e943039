"""Turn figures that are shown into others by changing only what differs, so that a page redraws without a rebuild.

Figures of two plans of one step are nearly the same bokeh models with other data. Building them again in the page took
most of the time from a plan to its picture.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
from bokeh.model import Model
from bokeh.models import ColumnDataSource
from bokeh.models.renderers import GlyphRenderer

Change = tuple[Model, str, Any]
"""A model, one of its properties, and what that becomes."""
LINKS = ("tags", "js_property_callbacks", "js_event_callbacks")
"""Properties through which a figure refers to what it shares with others."""


def renew(shown: Model, wanted: Model, kept: Collection[Model] = ()) -> None:
    """Make `shown`, in a document or not, what `wanted` is; `wanted` is used up by it.

    Models of `shown` stay the same objects, with their listeners, where `wanted` has one of the same class in the same
    position; others are added or removed. Selection, zoom and what is hidden become those of `wanted`. `kept`: models
    of `shown` that stand in `wanted`, too, and stay as they are; what links them with others stays, too.
    """
    twins = _twins(shown, wanted)
    changes: list[Change] = []
    for model in _all_models(wanted, kept):
        twin = twins.get(model)
        if twin is not None:
            found = _changes(twin, model, twins)
            changes += [(twin, name, value) for name, value in found if not (kept and name in LINKS)]
            continue
        for name, value in _own(model).items():
            meant = _with_twins(value, twins)
            if meant is not value:
                setattr(model, name, meant)
    # data last: its listeners in the page then find everything else up to date
    changes.sort(key=lambda change: isinstance(change[0], ColumnDataSource) + (change[1] == "data"))
    others = any(_models(value) for _, _, value in changes)
    # otherwise each change would walk through all models
    with shown.document.models.freeze() if shown.document and others else nullcontext():
        for model, name, value in changes:
            # copied, because bokeh's own dicts belong to their source
            setattr(model, name, dict(value) if isinstance(value, dict) else value)


def _twins(shown: Model, wanted: Model) -> dict[Model, Model]:
    """For models of `wanted` the one of `shown` in the same position."""
    twins: dict[Model, Model] = {}
    taken: set[Model] = set()
    waiting = [(shown, wanted)]
    while waiting:
        old, new = waiting.pop()
        if old is new or new in twins or old in taken or not _alike(old, new):
            continue
        twins[new] = old
        taken.add(old)
        before = _own(old)
        for name, value in _own(new).items():
            waiting += _pairs(before.get(name), value)
    return twins


def _changes(old: Model, new: Model, twins: dict[Model, Model]) -> Iterator[tuple[str, Any]]:
    """What to set in `old`."""
    before, after = _own(old), _own(new)
    for name, value in after.items():
        if old.lookup(name).readonly:  # set by the page: widths, where a slider was released
            continue
        meant = _with_twins(value, twins)
        if name not in before or not _same(before[name], meant):
            yield name, meant
    for name in before.keys() - after.keys():
        if not old.lookup(name).readonly:
            yield name, getattr(new, name)


def _pairs(old: Any, new: Any) -> Iterator[tuple[Model, Model]]:
    if isinstance(new, Model) and isinstance(old, Model):
        yield old, new
    elif isinstance(new, dict) and isinstance(old, dict):
        for key in new.keys() & old.keys():
            yield from _pairs(old[key], new[key])
    elif _is_list(new) and _is_list(old):
        before, after = _models(old), _models(new)
        if len(before) == len(after) and all(map(_alike, before, after)):
            yield from zip(before, after, strict=True)
        else:
            yield from _in_sequence(before, after)


def _in_sequence(before: list[Model], after: list[Model]) -> Iterator[tuple[Model, Model]]:
    """Pairs of lists that differ: those of one name, and each other model with the next that can become it."""
    named = {one.name: one for one in before if one.name}
    others, at = [one for one in before if not one.name], 0
    for new in after:
        if new.name:
            if new.name in named:
                yield named[new.name], new
            continue
        place = next((place for place in range(at, len(others)) if _alike(others[place], new)), None)
        if place is not None:
            yield others[place], new
            at = place + 1


def _alike(old: Model, new: Model) -> bool:
    """Whether one can become the other by its properties: a glyph's kind is fixed for its renderer."""
    if type(old) is not type(new) or old.name != new.name:
        return False
    if isinstance(old, GlyphRenderer) and isinstance(new, GlyphRenderer):
        return type(old.glyph) is type(new.glyph) and old.data_source.name == new.data_source.name
    return True


def _own(model: Model) -> dict[str, Any]:
    """Properties that were set, or whose default is a model made for this one; bokeh's public function for that takes
    100 times as long."""
    return {**model._unstable_default_values, **model._property_values}


def _with_twins(value: Any, twins: dict[Model, Model]) -> Any:
    """`value` with each model replaced by its counterpart; `value` itself where it has none."""
    if isinstance(value, Model):
        return twins.get(value, value)
    if isinstance(value, dict):
        changed = {key: _with_twins(one, twins) for key, one in value.items()}
        return changed if any(changed[key] is not one for key, one in value.items()) else value
    if _is_list(value):
        parts = [_with_twins(one, twins) for one in value]
        return type(value)(parts) if any(one is not two for one, two in zip(parts, value, strict=True)) else value
    return value


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        return type(old) is type(new) and old.dtype == new.dtype and np.array_equal(old, new)
    if isinstance(old, Model) or isinstance(new, Model):
        return old is new
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if _is_list(old) and _is_list(new):
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(old == new or (old != old and new != new))  # NaN


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _models(value: Any) -> list[Model]:
    """The models in a property, in sequence."""
    if isinstance(value, Model):
        return [value]
    if isinstance(value, dict):
        return [model for one in value.values() for model in _models(one)]
    return [model for one in value for model in _models(one)] if _is_list(value) else []


def _all_models(root: Model, without: Collection[Model]) -> list[Model]:
    found, apart = {root: None}, set(without)
    waiting = [root]
    while waiting:
        models = (one for value in _own(waiting.pop()).values() for one in _models(value))
        new = [one for one in models if one not in found and one not in apart]
        found.update(dict.fromkeys(new))
        waiting += new
    return list(found)
