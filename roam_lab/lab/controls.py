"""Widgets for every setting of the planner, drawn from the registry."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import ipywidgets as widgets

from roam_lab.lab.goals import Goals
from roam_lab.plan.limits import NODE_LIMITS
from roam_lab.registry import Parameter, Room, Strategy, find, strategies

OWN = ("node_limit", "time_limit", "seed", "capacity")
"""Parameters that the planner itself sets for orders and layouts: they have widgets of their own, or none."""
GRAIN = tuple(limit for limit in (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
              if NODE_LIMITS[0] <= limit <= NODE_LIMITS[1])  # fmt: skip
LABEL = {"description_width": "initial"}


class Controls(widgets.VBox):  # type: ignore[misc]
    """Order, layout, granularity, limits, seed, the goals of rewriting, and the parameters of the strategies.

    `kinds`: the kinds of rewriting that are ticked at first.
    """

    def __init__(self, changed: Callable[[], None], kinds: Collection[str]) -> None:
        self._changed, self._quiet = changed, False
        self.order = self._choice("order")
        self.layout_name = self._choice("layout")
        self.rewrite = self._choice("rewrite")
        self.goals = Goals(self._tell, kinds)
        self.node_limit = widgets.SelectionSlider(
            options=GRAIN,
            value=64,
            description="granularity",
            style=LABEL,
            continuous_update=False,
            layout={"width": "260px"},
        )
        self.time_limit = _number("time limit, s", "", "seconds; empty: by effort, the same plan every time")
        self.alignment = widgets.Dropdown(
            options=[("by device", 0), ("64 bytes", 64), ("256 bytes", 256), ("512 bytes", 512)],
            description="alignment", style=LABEL, layout={"width": "170px"},
        )  # fmt: skip
        self.seed = widgets.IntText(value=0, description="seed", style=LABEL, layout={"width": "130px"})
        self.own: dict[Room, dict[str, Any]] = {room: {} for room in self._rooms()}
        self.notes: dict[Room, Any] = {room: widgets.HTML() for room in self._rooms()}
        self._boxes: dict[Room, Any] = {room: _wrapped() for room in self._rooms()}
        for widget in (self.node_limit, self.time_limit, self.alignment, self.seed):
            widget.observe(self._tell, "value")
        for room, widget in self._rooms().items():
            widget.observe(lambda change, room=room: self._strategy_chosen(room), "value")
            self._draw(room)
        super().__init__(
            [
                _wrapped([self.order, self.layout_name, self.node_limit, self.time_limit, self.alignment, self.seed]),
                _wrapped([self.rewrite, self.goals]),
                *(part for room in self._rooms() for part in (self.notes[room], self._boxes[room])),
            ]
        )

    def settings(self) -> dict[str, Any]:
        """As keyword arguments of `make_plan`. Raises ParameterError or InputError for a value that cannot be read."""
        order = find("order", self.order.value)
        chosen: dict[str, Any] = {
            **{room: widget.value for room, widget in self._rooms().items()},
            "alignment": self.alignment.value or None,
            "seed": self.seed.value,
            **self.goals.settings(),
        }
        if _uses(order, "node_limit"):
            chosen["node_limit"] = self.node_limit.value
        if self.time_limit.value.strip():
            chosen["time_limit"] = Parameter("time_limit", float, None, "", low=0).read(
                "planner", self.time_limit.value
            )
        return {**chosen, **{f"{room}_parameters": self.parameters(room) for room in self._rooms()}}

    def follow(self, settings: Mapping[str, Any]) -> None:
        """Set all widgets to these settings of `make_plan`; nothing is planned."""
        self._quiet = True
        try:
            for room, widget in self._rooms().items():
                name = settings.get(room) or "auto"
                if name in widget.options:
                    widget.value = name
                given = settings.get(f"{room}_parameters") or {}
                for key, own in self.own[room].items():
                    _put(own, given.get(key, find(room, widget.value).parameter(key).default))
            limit = settings.get("node_limit")
            if limit is not None:
                self.node_limit.value = min(GRAIN, key=lambda grain: abs(grain - limit))
            _put(self.time_limit, settings.get("time_limit"))
            alignment = settings.get("alignment") or 0
            if alignment in [value for _, value in self.alignment.options]:
                self.alignment.value = alignment
            self.seed.value = settings.get("seed") or 0
            self.goals.follow(settings)
        finally:
            self._quiet = False

    def parameters(self, room: Room) -> dict[str, Any]:
        """What was changed of the chosen strategy's own parameters. Raises ParameterError."""
        strategy = find(room, self._rooms()[room].value)
        return {
            name: _value(strategy.parameter(name), strategy.name, widget)
            for name, widget in self.own[room].items()
            if not _is_default(strategy.parameter(name), widget)
        }

    def _rooms(self) -> dict[Room, Any]:
        return {"order": self.order, "layout": self.layout_name, "rewrite": self.rewrite}

    def _choice(self, room: Room) -> Any:
        names = [strategy.name for strategy in strategies(room)]
        return widgets.Dropdown(options=names, value="auto", description=room, style=LABEL, layout={"width": "200px"})

    def _tell(self, change: Any = None) -> None:
        if not self._quiet:
            self._changed()

    def _strategy_chosen(self, room: Room) -> None:
        self._draw(room)
        if room != "rewrite" or self.goals.active:  # else the plan would be the same
            self._tell()

    def _draw(self, room: Room) -> None:
        """Describe the chosen strategy, and show a widget for each parameter of its own."""
        strategy = find(room, self._rooms()[room].value)
        self.own[room] = {entry.name: _widget(entry) for entry in strategy.parameters if not self._fed(room, entry)}
        for widget in self.own[room].values():
            widget.observe(self._tell, "value")
        note = f"<small><b>{room} {strategy.name}</b>: {_plain(strategy.summary)}</small>"
        self.notes[room].value = f'<div style="line-height:1.4">{note}</div>'
        self._boxes[room].children = tuple(self.own[room].values())
        if room == "order":
            self.node_limit.disabled = not _uses(strategy, "node_limit")

    @staticmethod
    def _fed(room: Room, parameter: Parameter) -> bool:
        return room != "rewrite" and parameter.name in OWN


def _uses(strategy: Strategy, name: str) -> bool:
    return any(parameter.name == name for parameter in strategy.parameters)


def _widget(parameter: Parameter) -> Any:
    """A widget that offers what the parameter takes; None, where it is the default, is an empty text."""
    label = parameter.name.replace("_", " ")
    labelled = {"description": label, "style": LABEL, "tooltip": parameter.help}
    if parameter.choices:
        return widgets.Dropdown(options=list(parameter.choices), value=parameter.default, **labelled)
    if parameter.type is bool:
        return widgets.Checkbox(value=parameter.default, **labelled)
    default = "" if parameter.default is None else f"{parameter.default}"
    return _number(label, default, parameter.help)


def _number(description: str, value: str, tooltip: str) -> Any:
    return widgets.Text(
        value=value,
        description=description,
        tooltip=tooltip,
        style=LABEL,
        continuous_update=False,
        layout={"width": "210px"},
    )


def _is_default(parameter: Parameter, widget: Any) -> bool:
    default = "" if parameter.default is None else f"{parameter.default}"
    return widget.value == parameter.default or (isinstance(widget.value, str) and widget.value.strip() == default)


def _value(parameter: Parameter, strategy: str, widget: Any) -> Any:
    if isinstance(widget.value, str) and not parameter.choices:
        return parameter.read(strategy, widget.value.strip())
    return parameter.check(strategy, widget.value)


def _put(widget: Any, value: Any) -> None:
    """Set a widget of `_widget` to a value; text fields get the text that would be read as it."""
    widget.value = ("" if value is None else f"{value}") if isinstance(widget, widgets.Text) else value


def _wrapped(children: list[Any] | None = None) -> Any:
    return widgets.HBox(children or [], layout={"flex_flow": "row wrap", "grid_gap": "2px 14px"})


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
