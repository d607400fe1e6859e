"""Text of others on a terminal: it is shown, and never acted upon.

Names come from directories, certificates and readers, sentences from servers. A terminal takes some characters as
orders (move the cursor, change the title, send an answer as if it were typed) or turns what follows around, so that
one name looks like another.

Sources: [ECMA-48] 5.2 and 5.3 (C0 and C1 control functions); [UTR #36] 3.2 (bidirectional text and spoofing).
"""

import json
import re
from typing import Any, Final

ORDERS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: with 1B and 9B every escape sequence
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides and isolates
    "\u2028\u2029"  # line and paragraph separator
    "\ud800-\udfff]"  # half of a pair: cannot be written at all
)
"""Characters that a terminal acts upon, and those that make text look like another; a line end is one of them."""


def visible(text: str) -> str:
    r"""Return text with its orders written out: an escape becomes the four characters `\x1b`."""
    return ORDERS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_lines(text: str) -> str:
    """Return text of several lines of our own, each made `visible`."""
    return "\n".join(visible(line) for line in text.split("\n"))


def json_line(value: Any) -> str:
    """Return a value as JSON on one line, in letters as they are but for those that are orders."""
    written = json.dumps(value, default=str, ensure_ascii=False)
    return ORDERS.sub(lambda found: f"\\u{ord(found[0]):04x}", written)
