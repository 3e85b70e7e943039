"""The panel's export: a button that names the plan, a path, and the form of the export."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from IPython.core.getipython import get_ipython

from roam_lab.app.workbench.hooked import code_for, write_script
from roam_lab.errors import RoamError
from roam_lab.plan.plan import SUFFIX
from roam_lab.report.export import export
from roam_lab.report.hook_code import LOOP_NAMES
from roam_lab.report.safe_text import xml_text

if TYPE_CHECKING:
    from roam_lab.app.workbench import Workbench

AS_FILE = "a file, by its ending"
FORMS: dict[str, Any] = {AS_FILE: None, **{f"a script: {name}": loop for loop, name in LOOP_NAMES.items()}}
ENDINGS = "the ending decides the form: .roam.json, .svg, .png, .csv, .json, .dot, .pickle, .trace.json; a script: .py"


class ExportRow(widgets.VBox):  # type: ignore[misc]
    """`done` and `failed` are called with a sentence: what was written, or why nothing was."""

    def __init__(self, bench: Workbench, done: Callable[[str], None], failed: Callable[[str], None]) -> None:
        self._bench, self._done, self._failed = bench, done, failed
        self._name: str | None = None
        self.button = widgets.Button(description="Export", layout={"width": "auto", "max_width": "100%"})
        self.button.on_click(self.export)
        self.form = widgets.Dropdown(
            options=list(FORMS), description="as", style={"description_width": "initial"}, layout={"width": "270px"}
        )
        self.form.observe(self._form_chosen, "value")
        self.path = widgets.Text(value=f"plan{SUFFIX}", tooltip=ENDINGS, layout={"width": "200px"})
        self.force = widgets.Checkbox(value=False, description="overwrite", indent=False, layout={"width": "100px"})
        self.code = widgets.HTML()
        row = [self.button, self.form, self.path, self.force]
        layout = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 6px"}
        super().__init__([widgets.HBox(row, layout=layout), self.code])

    def show(self, name: str | None) -> None:
        """Show the name of the plan that will be exported; None: there is none."""
        self._name = name
        self.button.disabled = name is None
        self.button.description = "Export" if name is None else f"Export {self._bench.what_ifs[name].in_words()}"
        self.button.tooltip = "make a plan first" if name is None else f"write the plan {name!r} to this file"
        self._show_code()

    def export(self, *_: Any) -> None:
        """Write the shown plan to the path, or a script that trains by it with the plan beside it."""
        if self._name is None:
            return self._failed("there is no plan to export yet; press Plan first")
        row, loop, path = self._bench.what_ifs[self._name], FORMS[self.form.value], self.path.value
        try:
            if loop is None:
                export(self._bench.what_ifs.proven(row), path, self.force.value)
                written = path
            else:
                written = " and ".join(write_script(self._bench, row, loop, path, _cells(), self.force.value))
        except RoamError as error:
            return self._failed(str(error).replace("add --force", "tick overwrite"))
        better = self._bench.better_text(row)
        return self._done(f"wrote {written}: {row.name} ({row.in_words()})" + (f"; {better}" if better else ""))

    def _form_chosen(self, change: Any) -> None:
        loop = FORMS[self.form.value]
        stem = self.path.value.removesuffix(".py").removesuffix(SUFFIX)
        self.path.value = f"{stem}{SUFFIX}" if loop is None else f"{stem}.py"
        self._show_code()

    def _show_code(self) -> None:
        """Show the code of a script's loop, to read and to copy."""
        loop = FORMS[self.form.value]
        if loop is None or self._name is None:
            self.code.value = ""
            return
        plan_path = f"{self.path.value.removesuffix('.py')}{SUFFIX}"
        try:
            code = code_for(self._bench, self._bench.what_ifs[self._name], loop, plan_path)
        except RoamError as error:
            self.code.value = f'<small role="alert">{xml_text(str(error))}</small>'
            return
        advice = (  # front ends take new cells from a cell that runs, and from no widget
            f"<small>A button cannot make a cell: run <code>%roam export --hook {loop}</code> in one, and the code "
            "comes as the next.</small>"
        )
        self.code.value = f'{advice}<pre style="max-height:240px;overflow:auto">{xml_text(code)}</pre>'


def _cells() -> list[str]:
    """What was typed into the notebook's cells so far."""
    shell = get_ipython()
    history = None if shell is None else shell.history_manager
    return [] if history is None else list(history.input_hist_raw)
