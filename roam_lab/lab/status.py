"""The line below the panel's buttons: what is running, its progress, its result."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from roam_lab.report.safe_text import xml_text


class StatusLine(widgets.HBox):  # type: ignore[misc]
    """`cancel`: a button elsewhere in the panel that is enabled while something runs."""

    def __init__(self, cancel: Any) -> None:
        self.text = widgets.HTML()
        self.bar = widgets.FloatProgress(min=0, max=1, layout={"width": "160px", "display": "none"})
        self._cancel = cancel
        super().__init__([self.bar, self.text], layout={"min_height": "28px", "align_items": "center"})
        self.idle()

    def working(self, what: str, part: float = 0.0) -> None:
        """`what` is running, and `part` of it, from 0 to 1, is done."""
        self.bar.layout.display = None
        self.bar.value = part or 0.05
        self._cancel.disabled = False
        self.text.value = f'<span role="status">{xml_text(what)} ...</span>'

    def idle(self, sentence: str = "") -> None:
        """Nothing runs any more; `sentence`: a sentence on the result."""
        self._rest()
        self.text.value = f'<span role="status">{xml_text(sentence)}</span>'

    def failed(self, sentence: str) -> None:
        """Show that it could not be done, and why."""
        self._rest()
        colour = "var(--jp-error-color0, #b71c1c)"
        self.text.value = f'<span style="color:{colour}" role="alert">roam: {xml_text(sentence)}</span>'

    def _rest(self) -> None:
        self.bar.layout.display = "none"
        self._cancel.disabled = True
