"""Bokeh figures as a widget whose state is always the present one; importing this imports bokeh and jupyter_bokeh."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bokeh.document import Document
from bokeh.embed.elements import div_for_render_item
from bokeh.embed.util import RenderItem
from bokeh.util.serialization import make_globally_unique_css_safe_id, make_globally_unique_id
from jupyter_bokeh.widgets import BokehModel


class LiveFigures(BokehModel):  # type: ignore[misc]
    """Figures that can be replaced. A page that is loaded again gets them as they are: what is selected and opened.

    jupyter_bokeh sends what it was made with, and has no public way to renew that (pinned below 5 for what is used
    here): so it is written anew when a page asks for everything, past the traits, as open pages are up to date.
    """

    def replace(self, model: Any) -> None:
        """Show `model` in place of what stood here."""
        old = self._document
        self.update_from_model(model)
        if old is not None:
            old.remove_on_change(self)

    @classmethod
    def _model_to_traits(cls, model: Any) -> dict[str, Any]:
        """As jupyter_bokeh's own, without its walk through all models for Python callbacks to warn of."""
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
        """What a page is told; everything: a page that was just loaded asks."""
        if key is None and self.comm is not None:
            self._trait_values["render_bundle"] = self._model_to_traits(self._model)
        return super().get_state(key, drop_defaults)
