"""Rows of text as an HTML table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

from roam_lab.report.safe_text import printable

LEFT, RIGHT = "text-align:left", "text-align:right"


def html_table(head: Sequence[str], lines: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """An HTML table with a row of headings; cells are text, and escaped. `right`: columns of numbers."""
    body = "".join(f"<tr>{_cells('td', line, right)}</tr>" for line in lines)
    return f"<table><thead><tr>{_cells('th', head, right)}</tr></thead><tbody>{body}</tbody></table>"


def _cells(kind: str, line: Sequence[str], right: Collection[int]) -> str:
    whole = ";white-space:nowrap" if kind == "td" else ""
    styles = [RIGHT + whole if at in right else LEFT for at in range(len(line))]
    pairs = zip(styles, line, strict=True)
    return "".join(f'<{kind} style="{style}">{escape(printable(text))}</{kind}>' for style, text in pairs)
