"""Rows of text as an HTML table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from roam_lab.report.safe_text import printable


def html_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """An HTML table with a row of headings; cells are text, and escaped."""
    body = "".join(f"<tr>{_cells('td', line)}</tr>" for line in lines)
    return f"<table><thead><tr>{_cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"


def _cells(kind: str, line: Sequence[str]) -> str:
    return "".join(f'<{kind} style="text-align:left">{escape(printable(text))}</{kind}>' for text in line)
