"""Bokeh figures as a widget with up-to-date state; importing this imports bokeh and jupyter_bokeh."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from threading import RLock
from typing import Any

from bokeh.core.property.validation import validate
from bokeh.document import Document
from bokeh.embed.elements import div_for_render_item
from bokeh.embed.util import RenderItem
from bokeh.protocol import Protocol
from bokeh.util.serialization import make_globally_unique_css_safe_id, make_globally_unique_id
from jupyter_bokeh.widgets import BokehModel

from roam_lab.lab.later import Later
from roam_lab.report.figures import Stage

LATER_SECONDS = 1.4
"""Enough for a page to paint what came first."""


Draw = Callable[[Stage, bool], Any]
"""Draws figures on a stage, those below as well where it is told so, and returns the model that holds all."""


class LiveFigures(BokehModel):  # type: ignore[misc]
    """Figures that can be replaced. A reloaded page gets them as they are, with selection and opened modules.

    jupyter_bokeh sends the document as it was made, and has no public way to renew it (pinned below 5 for what is used
    here). So the state is written anew when a page asks for all of it, without a change of traits, since open pages are
    up to date.
    """

    _held: list[Any] | None = None
    """Changes that are collected to be sent in one message."""

    def __init__(self, draw: Draw, **more: Any) -> None:
        self._later = Later(LATER_SECONDS)
        self._stage, self._drawing = Stage(), RLock()
        # figures are made of our own values: bokeh's look at each took a quarter of their time. It is needed where they
        # are sent: unchecked, the name of a column passes for a colour
        with validate(False):
            model = draw(self._stage, True)
        self._stage.show()
        super().__init__(model, **more)

    def replace(self, draw: Draw) -> None:
        """Let the figures become what `draw` draws, by one message with what differs: first without those below; a
        moment later, when the page has painted the others, with them."""
        self._later.cancel()
        self._draw(draw, below=False)
        self._later.call(lambda: self._draw(draw, below=True))

    def _draw(self, draw: Draw, below: bool) -> None:
        with self._drawing:  # without an event loop what comes later comes in a thread
            self._stage.begin()
            draw(self._stage, below)
            self._in_one_message(self._stage.show)

    def close(self) -> None:
        """Once: jupyter_bokeh's own fails the second time, and Python's collector closes again."""
        self._later.cancel()
        if self.comm is not None:
            super().close()

    def _in_one_message(self, change: Callable[[], Any]) -> Any:
        """Send all changes that `change` makes as one message; returns what it returns."""
        self._held = []
        try:
            return change()
        finally:
            held, self._held = self._held, None
            if held:
                self._patch(held)

    def _document_patched(self, event: Any) -> None:
        if event.setter is self:
            return
        if self._held is None:
            self._later.now()
            self._patch([event])
        else:
            self._held.append(event)

    def _patch(self, events: list[Any]) -> None:
        """As jupyter_bokeh's own, for many changes at once."""
        message = Protocol().create("PATCH-DOC", events)
        for part in (message.header_json, message.metadata_json, message.content_json):
            self.send({"msg": "patch", "payload": part})
        for buffer in message.buffers:
            self.send({"msg": "patch", "payload": json.dumps(buffer.ref)})
            self.send({"msg": "patch"}, [buffer.to_bytes()])

    @classmethod
    def _model_to_traits(cls, model: Any) -> dict[str, Any]:
        """As jupyter_bokeh's own, without its search of all models for Python callbacks to warn about."""
        if model.document is None:
            Document().add_root(model)
        key = make_globally_unique_id()
        item = RenderItem(key, roots={model: make_globally_unique_css_safe_id()})
        return {
            "docs_json": {key: model.document.to_json(deferred=False)},
            "render_items": [item.to_json()],
            "div": div_for_render_item(item),
        }

    def get_state(self, key: str | Iterable[str] | None = None, drop_defaults: bool = False) -> Any:
        """The state that a page gets. All of it is asked for by a page that was just loaded."""
        if key is None and self.comm is not None:
            self._later.now()
            self._trait_values["render_bundle"] = self._model_to_traits(self._model)
        return super().get_state(key, drop_defaults)
