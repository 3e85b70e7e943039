"""Reports as plain text: the rows of rows.py and the sentences of sentences.py and headline.py, put together."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from roam_lab.ir import Graph, captured_order
from roam_lab.registry import Strategy
from roam_lab.report.graphs import eager_graph
from roam_lab.report.headline import eager_sentence, verdict_sentence
from roam_lab.report.rewrites import ON_TOP, kind_name, kind_rows, saved_and_added
from roam_lab.report.rows import Alive, Row, alive_at_peak, plan_rows, profile_rows, short_rows
from roam_lab.report.safe_text import printable
from roam_lab.report.sentences import captured_sentence, certificate_sentence, peak_sentence
from roam_lab.report.tasks import tasks_text
from roam_lab.report.units import bytes_text, exact_text

if TYPE_CHECKING:
    from roam_lab.ir import Order
    from roam_lab.plan import Plan
    from roam_lab.plan.profile import Profile


def table(lines: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Cells in aligned columns, two spaces apart; the columns numbered in `right` are aligned right."""
    cells = [list(line) for line in lines]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))] if cells else []
    drawn = (
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
    return "\n".join(f"  {line}" for line in drawn)


def figures(rows: Iterable[Row]) -> str:
    """Rows of bytes: name, readable size, exact size, note."""
    return table(
        (
            ("  " * row.level + row.label, bytes_text(row.size_bytes), exact_text(row.size_bytes), row.note)
            for row in rows
        ),
        frozenset({1, 2}),
    )


def alive_table(alive: Iterable[Alive]) -> str:
    """A table of the storages alive at a peak: bytes, kind, phase, op, module, source line, without empty columns."""
    lines = [(bytes_text(row.size_bytes), row.kind, row.phase, row.op, row.module, row.source) for row in alive]
    columns = [column for column in zip(*lines, strict=True) if any(column)]
    return table(zip(*columns, strict=True), frozenset({0}))


def verdict_text(plan: Plan, sentence: str, profile: Profile | None = None) -> str:
    """The verdict on a plan in a few lines: `sentence`, the small table, and the profile's `differences`."""
    parts = [f"{_name(plan)}: {sentence}", table(short_rows(plan, profile), frozenset({1, 2}))]
    if profile is not None and profile.differences:
        parts.append(_remarks(profile))
    return printable("\n".join(parts))


def _name(plan: Plan) -> str:
    return "a bare plan" if plan.graph is None else plan.graph.name or "training step"


def _remarks(profile: Profile) -> str:
    return "\n".join(f"- {sentence}" for sentence in profile.differences)


def profile_text(profile: Profile) -> str:
    """The whole text report of a profile."""
    graph, eager = profile.graph, eager_graph(profile)
    parts = [
        f"{graph.name or 'training step'}: {eager_sentence(profile)}",
        f"{len(graph.ops):,} ops, {len(graph.storages):,} storages",
        figures(profile_rows(profile)),
        _at_peak(eager, captured_order(eager), "eager"),
    ]
    if profile.differences:
        parts.append(_remarks(profile))
    return printable("\n\n".join(parts))


def plan_text(plan: Plan, profile: Profile | None = None) -> str:
    """The whole text report of a plan. `profile`: the profile that was planned, which knows residents by kind, and
    eager.
    """
    sentences = (captured_sentence(plan, profile), certificate_sentence(plan))
    parts = [
        f"{_name(plan)}: {verdict_sentence(plan, profile)}",
        f"{len(plan.order):,} ops, order {plan.order_strategy}, layout {plan.layout_strategy}, "
        f"{plan.status}, {plan.seconds:.2f} s, seed {plan.seed}",
        figures(plan_rows(plan, profile)),
        "\n".join(filter(None, sentences)),
    ]
    if plan.rewrites:
        parts.append(_rewrites(plan))
    if plan.tasks is not None:
        parts.append(tasks_text(plan.tasks))
    if plan.graph is not None:
        parts.append(_at_peak(plan.graph, plan.order, "planned"))
    return printable("\n\n".join(parts))


def _rewrites(plan: Plan) -> str:
    """A line for each kind of rewriting, and a sentence on how to read them."""
    lines = [("rewriting", "ops", "peak saved", "time added", "")]
    lines += [
        (kind_name(row.kind), f"{row.ops:,}" if row.ops else "", *saved_and_added(row), row.note)
        for row in kind_rows(plan)
    ]
    return f"{table(lines, frozenset({1, 2, 3}))}\n{ON_TOP}"


def _at_peak(graph: Graph, order: Order, what: str) -> str:
    sentence = peak_sentence(graph, order, what)
    alive = alive_at_peak(graph, order)
    return f"{sentence} Largest alive there:\n{alive_table(alive)}" if alive else sentence


def strategies_text(strategies: Iterable[Strategy], width: int = 100) -> str:
    """The registry as text, at most `width` columns wide: summary, source and parameters of each strategy."""
    parts = []
    for strategy in strategies:
        title = f"{strategy.room} {strategy.name}"
        sentences = [strategy.summary, f"Source: {strategy.source}"]
        lines = [title, *(line for text in sentences for line in _wrapped(text, width, "    "))]
        for parameter in strategy.parameters:
            lines += _wrapped(f"{parameter.name}: {parameter.help} ({parameter.described()})", width, "      ")
        parts.append("\n".join(lines))
    return printable("\n".join(parts))


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    wrapper = textwrap.TextWrapper(width, initial_indent=indent, subsequent_indent=f"{indent}  ")
    wrapper.break_long_words = wrapper.break_on_hyphens = False
    return wrapper.wrap(text)
