"""The table beside a figure: its numbers as rows, for screen readers, for copying and for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from roam_lab.report.safe_text import printable, xml_text

Value = str | int | float | None


class View(Protocol):
    """What every figure is drawn from: a title, its content in words (alt text), and its table."""

    @property
    def title(self) -> str: ...
    @property
    def alt(self) -> str: ...
    @property
    def table(self) -> Table: ...


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns (units in their names) and rows of plain values; None is an empty cell."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def html(self) -> str:
        """An HTML table, names escaped, numbers aligned right; styled by whoever shows it (class roam-table)."""
        head = "".join(f'<th scope="col">{xml_text(column)}</th>' for column in self.columns)
        body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows)
        return (
            f'<table class="roam-table"><caption>{xml_text(self.caption)}</caption>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>\n"
        )

    def text(self) -> str:
        """The same in columns for a terminal, names made printable."""
        lines = [[printable(column) for column in self.columns]]
        lines += [[printable(_shown(value)) for value in row] for row in self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([self.caption, *(line.rstrip() for line in padded)])


def _shown(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else value


def _cell(value: Value) -> str:
    align = ' style="text-align:right"' if isinstance(value, int | float) else ""
    return f"<td{align}>{xml_text(_shown(value))}</td>"


def short(text: str, limit: int) -> str:
    """`text`, cut at its beginning to `limit` characters: of a module path or a line the end says more."""
    return text if len(text) <= limit else "…" + text[len(text) - limit + 1 :]


def listed(parts: Sequence[str], most: int = 4) -> str:
    """ "a, b and 3 more"."""
    return ", ".join(parts[:most]) + (f" and {len(parts) - most:,} more" if len(parts) > most else "")
