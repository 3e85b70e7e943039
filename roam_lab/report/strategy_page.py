"""docs/strategies.md, written from the registry: `python -m roam_lab.report.strategy_page docs/strategies.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable

from roam_lab.ir import write_text
from roam_lab.registry import Parameter, Strategy, strategies

TITLES = {
    "order": ("Orders", "An order is the sequence in which the ops run; `roam plan --order NAME` chooses one."),
    "layout": (
        "Layouts",
        "A layout is the byte offset of every storage; `roam plan --layout NAME` and `roam layout --layout NAME` "
        "choose one.",
    ),
    "rewrite": (
        "Rewritings",
        "A rewriting trades time for memory: in place, fused, recomputed. Each strategy gives points of extra time and "
        "live peak, none dominated (`roam_lab.rewrite.frontier`).",
    ),
}
HEAD = """# Strategies

<!-- written by `make docs` from the registry: edit the docstrings and parameters there -->

Every order, layout and rewriting that roam-lab ships, with what the registry knows of it. `auto` is the default of all.
A parameter is set with `--set order.NAME=VALUE` or `--set layout.NAME=VALUE`, in Python with
`make_plan(..., order_parameters={"NAME": VALUE})` and `layout_parameters`; `--time-limit` (seconds), `--node-limit`
(ops a task) and `--seed` reach every strategy that declares a parameter of that name. A plan is never worse than the
captured order, whatever the strategy finds.
"""


def strategy_page(known: Iterable[Strategy]) -> str:
    """The page as Markdown: orders, layouts, rewritings; each with summary, source, parameters, docstring."""
    known = [entry for entry in known if ours(entry)]
    parts = [HEAD]
    for room, (title, what) in TITLES.items():
        of_room = [entry for entry in known if entry.room == room]
        links = ", ".join(f"[`{entry.name}`](#{_anchor(entry)})" for entry in of_room)
        parts += [f"## {title}\n", f"{what}\n", f"{links}.\n", *(_section(entry) for entry in of_room)]
    return "\n".join(parts)


def ours(entry: Strategy) -> bool:
    """Whether a strategy is of this package; those of other packages have pages of their own."""
    return entry.function.__module__.startswith("roam_lab.")


def _section(entry: Strategy) -> str:
    rest = (inspect.getdoc(entry.function) or "").partition("\n")[2].strip()
    parts = [f"### {entry.room} {entry.name}", entry.summary, f"Source: {entry.source}"]
    if entry.parameters:
        parts.append("\n".join(["| parameter | values | default | what |", "|---|---|---|---|", *_rows(entry)]))
    return "\n\n".join([*parts, *([rest] if rest else [])]) + "\n"


def _rows(entry: Strategy) -> Iterable[str]:
    for parameter in entry.parameters:
        cells = (f"`{parameter.name}`", _values(parameter), f"`{parameter.default}`", parameter.help)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _values(parameter: Parameter) -> str:
    return ", ".join(filter(None, (parameter.type.__name__, parameter.range())))


def _anchor(entry: Strategy) -> str:
    return f"{entry.room}-{entry.name}"


if __name__ == "__main__":
    write_text(sys.argv[1], strategy_page(strategies()))
