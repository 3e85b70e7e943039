"""Phases in the background of a bokeh figure: a pale band for each, labelled where its name fits."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from collections.abc import Sequence

from bokeh.models import Quad, Text
from bokeh.plotting import figure

from roam_lab.report.figures.parts import still
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Ink
from roam_lab.report.views.look import PHASES
from roam_lab.report.views.phases import PhaseBand

LETTER = 6.0
"""Approximate width of a letter, in pixels."""
LEAST_WIDTH = 400
"""Least width of a plot in pixels; labels that fit there are shown until the page knows its width."""
_NAMES = """
const {left, right, phase, name} = bands.data, end = Math.max(...right)
const wide = (at) => ((right[at] - left[at]) / end) * fig.inner_width
const told = phase.map((one, at) => (wide(at) > letter * (one.length + 1) ? one : ""))
if (told.some((one, at) => one !== name[at])) bands.setv({data: {...bands.data, name: told}}, {sync: false})
"""


def draw_phases(stage: Stage, drawn: figure, bands: Sequence[PhaseBand], end: float, top: float, ink: Ink) -> None:
    """Draw `bands` of an axis that ends at `end`, up to `top`, behind everything."""
    data = {
        "left": [band.left for band in bands],
        "right": [band.right for band in bands],
        "top": [top for _ in bands],
        "fill": [ink.of(PHASES[band.main]) for band in bands],
        "middle": [(band.left + band.right) / 2 for band in bands],
        "phase": [band.phase for band in bands],
        "name": [band.phase if _fits(band, end) else "" for band in bands],
    }
    source = stage.source(f"{drawn.name}.phases", data, "roam-phases")
    edges = {"left": "left", "right": "right", "bottom": 0, "top": "top"}
    look = {"fill_color": "fill", "fill_alpha": 0.07, "line_alpha": 0}
    still(stage, drawn, "phases.area", lambda: Quad(**edges, **look), source, level="underlay")
    words = {"text_color": ink.text, "text_font_size": "11px", "text_align": "center", "text_baseline": "top"}
    still(stage, drawn, "phases.names", lambda: Text(x="middle", y="top", text="name", y_offset=3, **words), source)
    args = {"fig": drawn, "bands": source, "letter": LETTER}
    stage.listen(f"{drawn.name}.phases.choose", _NAMES, args, (drawn, "inner_width"), (source, "data"))


def _fits(band: PhaseBand, end: float) -> bool:
    return (band.right - band.left) / end * LEAST_WIDTH > LETTER * (len(band.phase) + 1)
