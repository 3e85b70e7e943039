"""A stage: the bokeh models of some figures, drawn again and again by changing only what differs.

Figures of two plans of one step are nearly the same models with other data. Making them all for every plan took a
kernel most of the time from a plan to its picture, and building them anew in the page the rest.
"""

# bokeh does not annotate its generated initialisers
# mypy: disable-error-code="arg-type"
from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import numpy as np
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models import ColumnDataSource, CustomJS, Range1d

M = TypeVar("M", bound=Model)


class Stage:
    """What a function that draws finds again when it draws once more.

    It makes each model by `once`, under a key of its own, and says by `set`, `source` and `add` what that shows now.
    While figures are first drawn this is done at once. From the first `show` on, `show` does it, all together.
    """

    def __init__(self) -> None:
        self._models: dict[str, Any] = {}
        self._ours: dict[tuple[Model, str], list[Model]] = {}
        """What `add` has put into each list, as it is shown."""
        self._shown = False
        self._drawn: set[str] = set()
        self._values: dict[tuple[Model, str], Any] = {}
        self._lists: dict[tuple[Model, str], list[Model]] = {}

    def begin(self) -> None:
        """Forget what has been drawn since the last `show`, by a drawing that failed."""
        self._lists, self._values, self._drawn = {}, {}, set()

    def once(self, key: str, make: Callable[[], M]) -> M:
        """The model of that key, made by `make` where there is none yet, with what never changes.

        Raises KeyError for a key that is drawn twice at once: two parts would become one.
        """
        if key in self._drawn:
            raise KeyError(f"{key!r} is drawn twice")
        self._drawn.add(key)
        if key not in self._models:
            self._models[key] = make()
        model: M = self._models[key]
        return model

    def set(self, model: M, **values: Any) -> M:
        """Let properties of `model` have these values, whatever plan or page has set before."""
        if self._shown:
            self._values.update({(model, name): value for name, value in values.items()})
        else:
            for name, value in values.items():
                _set(model, name, value)
        return model

    def add(self, owner: Model, name: str, model: M) -> M:
        """Let `model` be the next one in a list of `owner` ("renderers", "tags", ...), behind those that bokeh has put
        there. Models that a later drawing does not add any more are taken out."""
        self._lists.setdefault((owner, name), []).append(model)
        present = getattr(owner, name)
        if not self._shown and model not in present:
            setattr(owner, name, [*present, model])
        return model

    def source(self, key: str, data: dict[str, Any], name: str | None = None, **more: Any) -> ColumnDataSource:
        """The source of that key, with these columns."""
        made = self.once(key, lambda: ColumnDataSource(data=data, **({} if name is None else {"name": name})))
        return self.set(made, data=data, **more)

    def range(self, key: str, start: float, end: float, bounded: bool = False) -> Range1d:
        """The range of that key, which a user may move within its ends alone if it is `bounded`."""
        made = self.once(key, lambda: Range1d(start, end))
        return self.set(made, start=start, end=end, bounds=(start, end) if bounded else None)

    def listen(self, key: str, code: str, args: dict[str, Any], *heard: tuple[Any, str]) -> CustomJS:
        """JavaScript of that key, run at each change of a property, (model, name). What it reads of plans has to lie in
        sources: new arguments would make bokeh look through all models, and the page compile the code again."""

        def make() -> CustomJS:
            callback = CustomJS(args=args, code=code)
            for model, name in heard:
                model.js_on_change(name, callback)
            return callback

        return self.once(key, make)

    def value(self, model: Model, name: str) -> Any:
        """What a property is, or is from the next `show` on."""
        return self._values.get((model, name), getattr(model, name))

    def show(self) -> None:
        """Show what has been drawn since the last time: in a document each difference is one event."""
        if self._shown:
            for (owner, name), added in self._lists.items():
                before = self._ours.get((owner, name), [])
                theirs = [one for one in getattr(owner, name) if one not in before and one not in added]
                self._values[owner, name] = [*theirs, *added]
            self._apply()
        self._ours |= self._lists
        self._shown = True
        self.begin()

    def _apply(self) -> None:
        changes = [
            (model, name, value)
            for (model, name), value in self._values.items()
            if not _same(getattr(model, name), value)
        ]
        # data last: its listeners in the page then find everything else up to date
        changes.sort(key=lambda change: isinstance(change[0], ColumnDataSource) + (change[1] == "data"))
        documents = {model.document for model, _, value in changes if model.document is not None and _has_model(value)}
        # otherwise each change would walk through all models
        with _frozen(documents):
            for model, name, value in changes:
                setattr(model, name, value)


def _frozen(documents: set[Document]) -> Any:
    return next(iter(documents)).models.freeze() if documents else nullcontext()


def _set(model: Model, name: str, value: Any) -> None:
    if not _same(getattr(model, name), value):
        setattr(model, name, value)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        return type(old) is type(new) and old.dtype == new.dtype and np.array_equal(old, new)
    if isinstance(old, Model) or isinstance(new, Model):
        return old is new
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(old == new or (old != old and new != new))  # NaN


def _has_model(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_model, value.values()))
    return any(map(_has_model, value)) if isinstance(value, list | tuple) else isinstance(value, Model)
