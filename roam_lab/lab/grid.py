"""The panel's form for many what-ifs at once: other batch sizes, dtypes, optimizers, goals; each captured on fakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from roam_lab.app.arguments import parse
from roam_lab.errors import RoamError
from roam_lab.sweeps.asked import grid_of

if TYPE_CHECKING:
    from roam_lab.sweeps.points import SweepPoint

FIELDS = {
    "batch": "8,16,32",
    "sequence": "128,256",
    "dtype": "float32,bfloat16",
    "optimizer": "AdamW,SGD(momentum=0.9)",
    "budget": "16GiB,24GiB",
    "extra-time": "0,0.05,0.25",
}
"""Options of `%roam whatif`, each with an example of its values."""
HELPING = {"extra-time": "0.05", "dtype": "bfloat16"}
"""Changes of the step that may save memory where another order does not."""


class GridRow(widgets.HBox):  # type: ignore[misc]
    """`asked(points)` is called with the what-ifs to make of the profile `label`, `failed` with why there are none."""

    def __init__(self, label: str, asked: Callable[[list[SweepPoint]], None], failed: Callable[[str], None]) -> None:
        self._label, self._asked, self._failed = label, asked, failed
        self.fields = {
            name: widgets.Text(
                description=name.replace("-", " "), placeholder=example, style={"description_width": "initial"},
                tooltip=f"several with commas between them, such as {example}; every combination is a what-if",
                layout={"width": "210px"},
            )
            for name, example in FIELDS.items()
        }  # fmt: skip
        add = widgets.Button(
            description="Add what-ifs", tooltip="a row for every combination", layout={"width": "auto"}
        )
        add.on_click(lambda _: self.ask({name: field.value for name, field in self.fields.items()}))
        tooltip = "the same step within 5 % more time, and in bfloat16: where order gains nothing, these do"
        helps = widgets.Button(description="What would help?", tooltip=tooltip, layout={"width": "auto"})
        helps.on_click(lambda _: self.help())
        super().__init__([*self.fields.values(), add, helps], layout={"flex_flow": "row wrap", "grid_gap": "2px 10px"})

    def ask(self, texts: dict[str, str]) -> None:
        """Ask for every combination of the values in the fields."""
        given = {name: text.replace(" ", "") for name, text in texts.items() if text.strip()}
        if not given:
            return self._failed("every field is empty; give values with commas between them, such as batch 8,16,32")
        words = [word for name, text in given.items() for word in (f"--{name}", text)]
        try:
            return self._asked(grid_of(parse("magic", ["whatif", *words]), self._label))
        except RoamError as error:
            return self._failed(str(error))

    def help(self) -> None:
        """Ask for each of HELPING by itself."""
        try:
            points = [
                point
                for name, text in HELPING.items()
                for point in grid_of(parse("magic", ["whatif", f"--{name}", text]), self._label)
            ]
        except RoamError as error:
            return self._failed(str(error))
        return self._asked(points)


def folded(grid: GridRow) -> Any:
    """`grid` in an accordion; its title is darker than ipywidgets' own titles, which are hard to read."""
    title = ".roam-more .jupyter-widget-Collapse-header"
    words = f"<style>{title}, {title} * {{ color: var(--jp-ui-font-color1, inherit) }}</style>"
    more = widgets.Accordion([grid], titles=("More what-ifs: sizes, dtypes, optimizers, goals",))
    more.add_class("roam-more")
    return widgets.VBox([widgets.HTML(words, layout={"display": "none"}), more])
