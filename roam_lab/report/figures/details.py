"""The pane with details of the selected storage at the cursor's step. It consists of text nodes, so that names are
never run as HTML. It is no widget, so that screen readers read it out when it changes."""

# bokeh annotates neither its generated initialisers nor its properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource
from bokeh.models.dom import Div, Span, Text
from bokeh.models.ui import Pane

from roam_lab.report.figures.cursor import CURSOR, Cursor
from roam_lab.report.figures.selection import DESCRIBE, carry, coded, lists, parts_of, selected_in
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import plain
from roam_lab.report.views.details import LABELS, NOTHING, details, form, inputs, no_code, step_us, times_of
from roam_lab.report.views.needs import AGAIN
from roam_lab.report.views.places import PHASES
from roam_lab.report.views.tensors import Tensors

DETAILS = files(__package__).joinpath("details.js").read_text("utf-8")
_TELL = """
const page = {...listsOf(names), ...listsOf(facts), tensors: tensors.data, steps: steps.data, facts: facts.data,
  usesAt: uses_at.data.at, uses: uses.data.step, again, stepModules: listsOf(step_names).modules, phases, nothing}
const rows = detailsRows(page, selection.data.storage[0], now.data.step[0])
texts[0].setv({content: rows[0][1]}, {sync: false})
labels.forEach((label, at) => {
  const row = rows.find(([name]) => name === label)
  texts[at + 1].setv({content: row ? row[1] : ""}, {sync: false})
  heads[at].setv({content: row ? label : ""}, {sync: false})
})
"""


def details_pane(
    selection: ColumnDataSource,
    cursor: Cursor,
    known: Tensors,
    described: dict[str, Any],
    code: Callable[[str], str] = no_code,
    stage: Stage | None = None,
) -> Pane:
    """The rows of `details`, renewed in the page. `described`: what `describing` returned."""
    stage = stage or Stage()
    values = dict(details(known, selected_in(stage, selection), cursor.step, code))
    name = _text(stage, "name", values[""])
    heads = [_text(stage, f"head.{label}", label if label in values else "") for label in LABELS]
    texts = [_text(stage, f"text.{label}", values.get(label, "")) for label in LABELS]
    every = range(len(known.bytes))
    forms, coded_form = coded([form(known, one) for one in every])
    columns = {
        "form": coded_form,
        "external": np.array([storage.external for storage in known.graph.storages], np.int8),
        "again": known.needs.again.astype(np.int8),
        "us": np.nan_to_num(known.needs.again_us, nan=-1.0),
        "reads": np.array([inputs(known, one) for one in every], np.int32),
    }
    codes = [plain(code(source)) for source in parts_of(described["names"], stage)["sources"]]
    told = {"forms": forms, "codes": codes, "times": plain(times_of(known)), "total": step_us(known)}
    uses_at, uses = known.needs.at.astype(np.int32), known.needs.step.astype(np.int32)
    given = {
        "selection": selection,
        "facts": lists(stage, "roam-facts", columns, **told),
        "uses_at": stage.source("roam-uses-at", {"at": uses_at}, "roam-uses-at"),
        "uses": stage.source("roam-uses", {"step": uses}, "roam-uses"),
        "texts": [name, *texts],
        "heads": heads,
        "labels": list(LABELS),
        "again": list(AGAIN),
        "step_names": cursor.names,
        "phases": list(PHASES),
        "nothing": NOTHING,
        **described,
    }
    pane = stage.once("roam-selected", lambda: _pane(name, heads, texts))
    carry(stage, pane, selection)
    tell = DESCRIBE + DETAILS + _TELL
    cursor.follow(stage, pane, tell, given)
    stage.listen("roam-selected.tell", CURSOR + tell, {**cursor.given, **given}, (selection, "data"))
    return pane


def _text(stage: Stage, what: str, content: str) -> Text:
    return stage.set(stage.once(f"roam-selected.{what}", Text), content=plain(content))


def _pane(name: Text, heads: list[Text], texts: list[Text]) -> Pane:
    first = Div(children=[Span(children=[name], style={"font-weight": "600"})])
    lines = [
        Div(
            children=[Span(children=[head], style={"flex": "0 0 6.4em", "opacity": "0.8"}), Span(children=[text])],
            style={"display": "flex"},
        )
        for head, text in zip(heads, texts, strict=True)
    ]
    return Pane(
        elements=[first, *lines],
        name="roam-selected",
        styles={
            "color": "inherit",
            "font": "12.5px/1.5 system-ui, sans-serif",
            "padding": "4px 12px",
            "min-height": "10em",
            "display": "block",
        },
        html_attributes={"role": "status", "aria-live": "polite"},
    )
