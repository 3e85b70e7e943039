"""Names come from files and from users' code: what may be shown on a terminal and stand in an XML document."""

from __future__ import annotations

import re
from html import escape

_ILLEGAL = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal(text: str) -> str:
    """`text` with control characters, escape sequences' lead-ins and lone surrogates each replaced by U+FFFD."""
    return _ILLEGAL.sub("\ufffd", text)


def xml_text(text: str) -> str:
    """`text` as it may stand in XML, in an element or in a quoted attribute."""
    return escape(legal(text))
