"""The pane with details of the selected storage at the cursor's step. It consists of text nodes, so that names are
never run as HTML. It is no widget, so that screen readers read it out when it changes."""

# bokeh annotates neither its generated initialisers nor its properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS
from bokeh.models.dom import Div, Span, Text
from bokeh.models.ui import Pane

from roam_lab.report.figures.cursor import CURSOR, Cursor
from roam_lab.report.figures.selection import DESCRIBE, carry, coded, lists, parts_of
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
) -> Pane:
    """The rows of `details`, renewed in the page. `described`: what `describing` returned."""
    values = dict(details(known, int(selection.data["storage"][0]), cursor.step, code))
    name = Text(content=plain(values[""]))
    heads = [Text(content=label if label in values else "") for label in LABELS]
    texts = [Text(content=plain(values.get(label, ""))) for label in LABELS]
    lines = [
        Div(
            children=[Span(children=[head], style={"flex": "0 0 6.4em", "opacity": "0.8"}), Span(children=[text])],
            style={"display": "flex"},
        )
        for head, text in zip(heads, texts, strict=True)
    ]
    every = range(len(known.bytes))
    forms, coded_form = coded([form(known, one) for one in every])
    columns = {
        "form": coded_form,
        "external": np.array([storage.external for storage in known.graph.storages], np.int8),
        "again": known.needs.again.astype(np.int8),
        "us": np.nan_to_num(known.needs.again_us, nan=-1.0),
        "reads": np.array([inputs(known, one) for one in every], np.int32),
    }
    codes = [plain(code(source)) for source in parts_of(described["names"])["sources"]]
    facts = lists("roam-facts", forms=forms, codes=codes, times=plain(times_of(known)), total=step_us(known))
    facts.data = columns
    pane = Pane(
        elements=[Div(children=[Span(children=[name], style={"font-weight": "600"})]), *lines],
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
    carry(pane, selection)
    given = {
        "selection": selection,
        "facts": facts,
        "uses_at": ColumnDataSource(data={"at": known.needs.at.astype(np.int32)}, name="roam-uses-at"),
        "uses": ColumnDataSource(data={"step": known.needs.step.astype(np.int32)}, name="roam-uses"),
        "texts": [name, *texts],
        "heads": heads,
        "labels": list(LABELS),
        "again": list(AGAIN),
        "step_names": cursor.names,
        "phases": list(PHASES),
        "nothing": NOTHING,
        **described,
    }
    cursor.follow(pane, DESCRIBE + DETAILS + _TELL, given)
    selection.js_on_change("data", CustomJS(args={**cursor.given, **given}, code=CURSOR + DESCRIBE + DETAILS + _TELL))
    return pane
