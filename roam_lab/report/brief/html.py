"""Pieces of HTML that the parts of the page share. What they are given is text, and escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from roam_lab.report.safe_text import xml_text

SHORT = 20
"""Cells of up to this many letters are not broken into lines."""


def unbroken(text: str) -> str:
    """`text` with every number and its unit on one line."""
    return re.sub(r"(?<=\d) (?=%|[KMG]iB)", "\u00a0", text)


def cell(text: str, *classes: str) -> str:
    """A cell of a table."""
    named = " ".join([*classes, *(["no-break"] if len(text) <= SHORT else [])])
    return f'<td class="{named}">{xml_text(text)}</td>' if named else f"<td>{xml_text(text)}</td>"


def row_title(text: str) -> str:
    """The first cell of a row, which names it."""
    short = ' class="no-break"' if len(text) <= SHORT else ""
    return f'<th scope="row"{short}>{xml_text(text)}</th>'


def table(caption: str, head: Sequence[str], lines: Iterable[str]) -> str:
    """A table of rows that are HTML already, with a line of headings."""
    titles = "".join(f'<th scope="col">{xml_text(title)}</th>' for title in head)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{xml_text(caption)}"><table>'
        f"<caption>{xml_text(caption)}</caption>"
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def items(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{xml_text(sentence)}</li>' for sentence in sentences)}</ul>"
