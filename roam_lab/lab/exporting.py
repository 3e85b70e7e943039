"""The panel's export: a button that names the plan, where it goes, and in which form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from roam_lab.errors import RoamError
from roam_lab.report.export import export

if TYPE_CHECKING:
    from roam_lab.workbench import Workbench


class ExportRow(widgets.HBox):  # type: ignore[misc]
    """`done` and `failed` hear a sentence of what was written, or why it was not."""

    def __init__(self, bench: Workbench, done: Callable[[str], None], failed: Callable[[str], None]) -> None:
        self._bench, self._done, self._failed = bench, done, failed
        self._name: str | None = None
        self.button = widgets.Button(description="Export", layout={"width": "auto"})
        self.button.on_click(self.export)
        tooltip = "the ending decides the form: .roam.json, .svg, .png, .csv, .json, .dot, .pickle, .trace.json"
        self.path = widgets.Text(value="plan.roam.json", tooltip=tooltip, layout={"width": "200px"})
        self.force = widgets.Checkbox(value=False, description="overwrite", indent=False, layout={"width": "100px"})
        super().__init__(
            [self.button, self.path, self.force], layout={"flex_flow": "row wrap", "align_items": "center"}
        )

    def show(self, name: str | None) -> None:
        """Name the plan that will be exported; None: there is none."""
        self._name = name
        self.button.disabled = name is None
        self.button.description = "Export" if name is None else f"Export {self._bench.what_ifs[name].told()}"
        self.button.tooltip = "make a plan first" if name is None else f"write the plan {name!r} to this file"

    def export(self, *_: Any) -> None:
        """Write the shown plan to the path."""
        if self._name is None:
            return self._failed("there is no plan to export yet; press Plan first")
        row = self._bench.what_ifs[self._name]
        try:
            export(self._bench.what_ifs.proven(row), self.path.value, self.force.value)
        except RoamError as error:
            return self._failed(str(error).replace("add --force", "tick overwrite"))
        better = self._bench.better_text(row)
        return self._done(f"wrote {self.path.value}: {row.name} ({row.told()})" + (f"; {better}" if better else ""))
