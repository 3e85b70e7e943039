"""Text that is safe to show. Names come from files and from users' code, and may contain control characters or
markup."""

from __future__ import annotations

import re
from html import escape

_UNPRINTABLE = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    """`text` with each control character, also those that begin a terminal's escape sequences, and each lone surrogate
    replaced by U+FFFD, so that it may be printed or put into XML."""
    return _UNPRINTABLE.sub("\ufffd", text)


def xml_text(text: str) -> str:
    """`printable(text)`, escaped for XML and HTML: for an element or a quoted attribute."""
    return escape(printable(text))
